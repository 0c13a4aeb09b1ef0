"""Finding a model that is already there, before any step is taken."""

from pathlib import Path

import pytest

from app.download import finding
from app.errors import StartupError
from tests.support.preparing import MODEL, settings_for
from tests.support.snapshot import write_cache
from tools import tiny


def test_an_exported_model_is_found_by_its_id_and_by_its_folder(tmp_path: Path) -> None:
    place = tmp_path / "models/tests--small"
    assert finding.exported(settings_for(tmp_path)) is None
    tiny.build(place)
    assert finding.exported(settings_for(tmp_path)) == place
    assert finding.exported(settings_for(tmp_path, model_id=str(place))) == place


def test_another_graph_is_not_an_exported_model_s(tmp_path: Path) -> None:
    place = tmp_path / "models/tests--small"
    tiny.build(place)
    assert finding.exported(settings_for(tmp_path, onnx_file="a.onnx")) is None
    with pytest.raises(StartupError, match="which has its own graphs: leave the option out"):
        finding.exported(settings_for(tmp_path, onnx_file="a.onnx", model_id=str(place)))


def test_a_snapshot_is_found_with_its_graph(folder: Path, tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    nothing = finding.snapshots(settings, finding.caches(settings, {}))
    assert (nothing.folders, nothing.found, nothing.is_whole) == ([], None, False)
    write_cache(tmp_path / "data", folder)
    there = finding.snapshots(settings, finding.caches(settings, {}))
    assert there.found is not None
    source, graph = there.found
    assert there.folders == [source]
    assert graph.parent in {source, source / "onnx"}
    assert there.is_whole


def test_a_name_is_understood_once(tmp_path: Path) -> None:
    tiny.build(tmp_path / "models/tests--small")
    assert finding.meant(settings_for(tmp_path, model_id="small"), {}).model_id == MODEL
    with pytest.raises(StartupError, match=r"--model-id: \./none is not a folder"):
        finding.meant(settings_for(tmp_path, model_id="./none"), {})
