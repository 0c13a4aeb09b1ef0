"""The Hub's cache: where it is, and which of its snapshots can be served."""

import shutil
from pathlib import Path

import pytest

from app.model.lookup.hub_cache import candidates, graph_file, is_whole, roots
from tests.support.preparing import MODEL, prepare, settings_for
from tests.support.snapshot import COMMIT, OTHER_COMMIT, write_cache, write_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "small")


def test_revisions_are_branches_tags_and_commits(folder: Path, tmp_path: Path) -> None:
    main = write_cache(tmp_path, folder)
    other = write_cache(tmp_path, folder, OTHER_COMMIT, "pr/7")
    for revision, found in [
        (None, [main]),
        ("main", [main]),
        ("pr/7", [other]),
        (OTHER_COMMIT, [other]),
        ("v9", []),
        ("../main", []),
        (str(tmp_path), []),
    ]:
        assert candidates(MODEL, revision, [tmp_path]) == found
    assert candidates(str(tmp_path / "models--tests--small"), "pr/7", []) == [other]


def test_a_later_cache_serves_where_an_earlier_one_has_no_graph(
    folder: Path, tmp_path: Path
) -> None:
    second = write_cache(tmp_path / "data", folder)
    shutil.rmtree(folder / "onnx")
    first = write_cache(tmp_path / "data" / "hub", folder)
    places = roots(tmp_path / "data", {})
    assert candidates(MODEL, None, places) == [first, second]
    assert prepare(settings_for(tmp_path)).name == "tests--small"


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"HOME": "/h"}, "/h/.cache/huggingface/hub"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/huggingface/hub"),
        ({"XDG_CACHE_HOME": "/x", "HF_HOME": "/f"}, "/f/hub"),
        ({"HF_HOME": "/f", "HF_HUB_CACHE": "/c"}, "/c"),
    ],
)
def test_the_usual_cache_is_the_one_of_huggingface_hub(
    environment: dict[str, str], found: str | None
) -> None:
    usual = (Path(found),) if found else ()
    assert roots(None, environment) == usual
    assert roots(Path("/data"), environment) == (Path("/data/hub"), Path("/data"), *usual)


@pytest.mark.parametrize(
    ("config", "whole"),
    [
        ('{"architectures": ["BertModel"]}', False),
        ('{"architectures": ["BertForSequenceClassification"]}', True),  # with a head of its own
        ('{"architectures": 5}', False),
        ("{", False),
    ],
)
def test_a_cached_model_is_whole_when_its_pooling_is_known(
    folder: Path, tmp_path: Path, config: str, whole: bool
) -> None:
    (folder / "modules.json").unlink()
    assert is_whole(folder)  # a user's own folder is always whole
    (folder / "config.json").write_text(config)
    snapshot = write_cache(tmp_path / "data", folder)
    assert is_whole(snapshot) == whole
    absent = tmp_path / "data/models--tests--small/.no_exist" / COMMIT / "modules.json"
    absent.parent.mkdir(parents=True)
    absent.touch()
    assert is_whole(snapshot)


def test_the_graph_at_the_top_comes_first(folder: Path) -> None:
    assert graph_file(folder) == folder / "onnx/model.onnx"
    shutil.copyfile(folder / "onnx/model.onnx", folder / "model.onnx")
    assert graph_file(folder) == folder / "model.onnx"
