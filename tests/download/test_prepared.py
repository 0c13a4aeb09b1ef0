"""Models that were prepared or exported before, and when they are used."""

import logging
import shutil
from pathlib import Path

import pytest

from app.download import preparation
from app.errors import StartupError
from app.model.lookup.hub_cache import digest, graph_files
from app.model.manifest import Manifest
from tests.support.preparing import BY_NAME, MODEL, OFFLINE, fault, prepare, settings_for
from tests.support.snapshot import COMMIT, contents, write_cache
from tools import tiny


def test_a_prepared_folder_is_used_again(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_cache(tmp_path / "data", folder)
    settings = settings_for(tmp_path)
    place = prepare(settings)
    Manifest.read(place).verify_files(place)
    before = contents(place)
    caplog.set_level(logging.INFO)
    caplog.clear()
    assert prepare(settings) == place
    assert contents(place) == before
    [line] = caplog.messages
    assert line.endswith(f"was prepared before: {place}")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["1_Pooling/config.json", "tokenizer.json", "onnx/model.onnx_data"]
)
def test_changed_files_are_prepared_again(folder: Path, tmp_path: Path, name: str) -> None:
    settings = settings_for(tmp_path, model_id=str(folder))
    first = prepare(settings)
    with (folder / name).open("a") as stream:
        stream.write(" ")
    second = prepare(settings)
    assert first != second
    assert Manifest.read(first).graphs == Manifest.read(second).graphs


@pytest.mark.slow
def test_an_unreadable_manifest_is_prepared_over(folder: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, model_id=str(folder))
    place = prepare(settings)
    (place / "manifest.json").write_text("{}")
    assert prepare(settings) == place
    Manifest.read(place).verify_files(place)


@pytest.mark.slow
def test_another_pooling_is_the_prepared_folder_s_own(folder: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path, model_id=str(folder))
    other = settings_for(tmp_path, model_id=str(folder), pooling="last_token")
    assert Manifest.read(prepare(settings)).pooling == "mean"
    manifest = Manifest.read(prepare(other))
    assert manifest.pooling == "last_token"
    assert manifest.certificates[0].worst_cosine >= 0.99999


@pytest.mark.slow
def test_int8_is_prepared_where_it_is_asked_for(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="--dtype int8: the model multiplies nothing by weights"):
        prepare(settings_for(tmp_path, model_id=str(folder), dtype="int8"))
    assert prepare(settings_for(tmp_path, model_id=str(folder)))


def test_an_exported_model_comes_first(folder: Path, tmp_path: Path) -> None:
    write_cache(tmp_path / "data", folder)
    exported = tmp_path / "models" / "tests--small"
    tiny.build(exported)
    settings = settings_for(tmp_path)
    assert prepare(settings) == exported
    with preparation.prepared(settings, OFFLINE) as (meant, _):
        assert meant is settings
    assert not (tmp_path / "prepared").exists()


def test_an_exported_folder_comes_first_whatever_revision_is_named(
    folder: Path, tmp_path: Path
) -> None:
    exported = tmp_path / "models" / folder.name
    tiny.build(exported)
    settings = settings_for(tmp_path, model_id=str(folder), revision="abc")
    assert prepare(settings) == exported
    with preparation.prepared(settings, OFFLINE) as (meant, _):
        assert meant is settings
    assert not (tmp_path / "prepared").exists()


def test_a_prepared_model_keeps_its_name(folder: Path, tmp_path: Path) -> None:
    write_cache(tmp_path / "data", folder, reference="v2")
    settings = settings_for(tmp_path, revision="v2")
    with preparation.prepared(settings, OFFLINE) as (meant, place):
        assert (meant.model_id, meant.revision, meant.model_name) == (MODEL, "v2", MODEL)
    assert (place.name, Manifest.read(place).source.revision) == ("tests--small@v2", COMMIT)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model_fp16.onnx", "onnx/model_fp16.onnx"])
def test_a_graph_is_prepared_by_its_name_past_an_export(
    folder: Path, tmp_path: Path, name: str
) -> None:
    shutil.copyfile(folder / "onnx/model.onnx", folder / "onnx/model_fp16.onnx")
    snapshot = write_cache(tmp_path / "data", folder)
    tiny.build(tmp_path / "models" / "tests--small")
    place = prepare(settings_for(tmp_path, onnx_file=name))
    assert tmp_path / "prepared" in place.parents
    shutil.rmtree(tmp_path / "models")
    assert prepare(settings_for(tmp_path)) != place  # from the graph with the usual name
    wrong = settings_for(tmp_path, onnx_file="model_int8.onnx")
    assert fault(wrong) == (
        f"{snapshot} holds no model_int8.onnx, only onnx/model.onnx, onnx/model_fp16.onnx: "
        f"{BY_NAME}"
    )


def test_a_graph_is_distinguished_whatever_its_name_holds(tmp_path: Path) -> None:
    graph = tmp_path / "model[1].onnx"
    weights = tmp_path / "model[1].onnx_data"
    for path in (graph, weights, tmp_path / "model1.onnx"):
        path.write_bytes(b"1")
    assert graph_files(graph) == [graph, weights]
    digests = {digest(tmp_path, graph)}
    for path in (graph, weights):
        path.write_bytes(b"2")
        digests.add(digest(tmp_path, graph))
    assert len(digests) == 3
    (tmp_path / "model1.onnx").write_bytes(b"2")
    assert digest(tmp_path, graph) in digests


def test_an_exported_folder_has_its_own_graphs(tmp_path: Path) -> None:
    tiny.build(tmp_path / "own")
    settings = settings_for(tmp_path, model_id=str(tmp_path / "own"), onnx_file="a.onnx")
    assert fault(settings) == (
        f"--onnx-file a.onnx: {tmp_path}/own is an exported model, which has its own graphs: leave "
        "the option out"
    )
