from pathlib import Path

import pytest

from app.model.lookup import repository
from tools import tiny


@pytest.mark.parametrize(
    ("model_id", "revision", "name"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", None, "sentence-transformers--all-MiniLM-L6-v2"),
        ("BAAI/bge-m3", "v1.0", "BAAI--bge-m3@v1.0"),
        ("BAAI/bge-m3", "refs/pr/7", "BAAI--bge-m3@refs_pr_7"),
        ("..", None, "_"),
        ("../../etc", None, "--..--etc"),
    ],
)
def test_names_stay_inside_the_models_folder(
    model_id: str, revision: str | None, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = repository.folder_name(model_id, revision)
    assert (tmp_path / found).resolve().parent == tmp_path
    if not Path(model_id).is_dir():
        assert found == name


def test_a_folder_counts_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert repository.folder_name(str(tmp_path / "mine")) == "mine"
    assert repository.source_id(str(tmp_path / "mine")) == "mine"


def test_an_exported_folder_is_found_itself(tmp_path: Path) -> None:
    tiny.build(tmp_path / "any")
    assert repository.find(str(tmp_path / "any"), None, tmp_path / "none") == tmp_path / "any"


def test_a_folder_has_no_revisions_but_a_cache_s(tmp_path: Path) -> None:
    (tmp_path / "models--org--name/snapshots").mkdir(parents=True)
    (tmp_path / "checkpoint").mkdir()
    assert repository.folder_name(f"{tmp_path}/checkpoint", "v2") == "checkpoint"
    cached = repository.folder_name(f"{tmp_path}/models--org--name", "v2")
    assert cached == "models--org--name@v2"


def test_an_id_and_a_revision_are_found_in_the_models_folder(tmp_path: Path) -> None:
    tiny.build(tmp_path / "org--name")
    tiny.build(tmp_path / "org--name@v2")
    assert repository.find("org/name", None, tmp_path) == tmp_path / "org--name"
    assert repository.find("org/name", "v2", tmp_path) == tmp_path / "org--name@v2"
    assert repository.find("org/name", "v3", tmp_path) is None


def test_a_checkpoint_folder_leads_to_its_export(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    assert repository.find(str(tmp_path / "checkpoint"), None, tmp_path / "models") is None
    tiny.build(tmp_path / "models" / "checkpoint")
    found = repository.find(str(tmp_path / "checkpoint"), None, tmp_path / "models")
    assert found == tmp_path / "models" / "checkpoint"
