"""The precisions that the bench serves, by the machine and the folders."""

from dataclasses import replace
from pathlib import Path

from app.model.manifest import Manifest
from tools import tiny
from tools.bench.kinds import kinds, offers


def with_int8(folder: Path) -> Path:
    """Make a folder claim to have an int8 graph too."""
    manifest = tiny.build(folder)
    [graph] = manifest.graphs
    also = replace(graph, dtype="int8", providers=("cpu",))
    replace(manifest, graphs=(graph, also)).write(folder)
    return folder


def test_a_folder_offers_what_it_has_a_graph_for(tmp_path: Path) -> None:
    tiny.build(tmp_path / "plain")
    assert offers(tmp_path / "plain", "float32")
    assert not offers(tmp_path / "plain", "int8")
    assert offers(with_int8(tmp_path / "both"), "int8")


def test_a_precision_that_needs_a_gpu_is_not_offered_without_one(tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path)
    [graph] = manifest.graphs
    halves = replace(graph, dtype="float16", providers=("cuda",))
    replace(manifest, graphs=(graph, halves)).write(tmp_path)
    assert Manifest.read(tmp_path).graph_for("cuda", "float16") is not None
    assert not offers(tmp_path, "float16")


def test_the_default_comes_first_and_each_precision_from_the_first_folder_that_has_it(
    tmp_path: Path,
) -> None:
    tiny.build(tmp_path / "plain")
    folders = [tmp_path / "plain", with_int8(tmp_path / "both")]
    found = [kind for kind in kinds(folders) if kind.dtype in {"auto", "float32", "int8"}]
    assert found == [("auto", folders[0]), ("float32", folders[0]), ("int8", folders[1])]
