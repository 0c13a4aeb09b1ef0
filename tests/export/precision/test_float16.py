"""float16: the graphs for GPUs, what can be shown without one, and serving."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import StartupError
from app.inference.providers.plan import ProviderRequest
from app.model.manifest import Manifest
from app.model.parts import Graph
from export import pipeline
from export.folder import card
from export.precision import float16
from tests.support.halved import FUSED, PACKED
from tests.support.loading import load_folder, try_plans


@pytest.mark.slow
def test_two_graphs_are_published_that_share_their_weights(halved: Path, exported: Path) -> None:
    manifest, plain = Manifest.read(halved), Manifest.read(exported)
    manifest.verify_files(halved)
    exact, _, _, fused, packed, *_ = manifest.graphs
    assert exact == plain.graphs[0]
    assert manifest.fingerprint == plain.fingerprint
    names = (exact.inputs, exact.outputs)
    assert fused == Graph(
        float16.FILE, "float16", ("cuda", "cpu"), *names, fingerprint=None, attention="fused"
    )
    assert packed == Graph(
        float16.PACKED_FILE, "float16", ("cuda",), *names, fingerprint=None, attention="packed"
    )
    assert [path.name for path in halved.glob("*float16*.data")] == [f"{float16.FILE}.data"]
    assert not list(halved.glob("trial*"))
    of_exact, of_fused = manifest.certificates[0], manifest.certificates[-1]
    assert (of_fused.graph, of_fused.compute_dtype) == (float16.FILE, "float16")
    assert 0.999 < of_fused.worst_cosine < of_exact.worst_cosine


@pytest.mark.slow
def test_a_snapshot_with_onnx_gets_the_same_graphs(bert: Path, tmp_path: Path) -> None:
    from export.from_onnx import preparation
    from export.from_torch import convert

    snapshot = shutil.copytree(bert, tmp_path / "snapshot")
    convert.convert(bert, tmp_path / "bare")
    (snapshot / "onnx").mkdir()
    shutil.copyfile(tmp_path / "bare/model.onnx", snapshot / "onnx/model.onnx")
    arguments = ["--from-onnx", str(snapshot), "--models-dir", str(tmp_path / "m")]
    folder = pipeline.prepare(preparation.parse([*arguments, "--dtype", "float16"]))
    manifest = Manifest.read(folder)
    assert [one.attention for one in manifest.graphs[:5]] == [
        "plain",
        "fused",
        "plain",
        "fused",
        "packed",
    ]
    assert manifest.certificates[-1].worst_cosine > 0.999


@pytest.mark.slow
def test_the_folder_s_readme_says_what_it_is_for(halved: Path) -> None:
    text = (halved / card.FILE_NAME).read_text()
    one = Manifest.read(halved).certificates[-1]
    assert f"| float16 | cpu | {one.worst_cosine:.7f} |" in text
    assert "`--dtype float16` runs `model.float16.packed.onnx` or `model.float16.onnx` on" in text


@pytest.mark.slow
def test_a_cpu_does_not_serve_it(halved: Path) -> None:
    with pytest.raises(StartupError, match=r"--dtype float16: it is for GPUs, .*--dtype float32"):
        load_folder(halved, ProviderRequest("cpu", "float16"))


EXACT = replace(FUSED, compute_dtype="float32")


@pytest.mark.slow
def test_float16_that_costs_much_is_not_taken_unasked(
    halved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(halved, tmp_path / "m")
    manifest = Manifest.read(folder)
    certificates = [replace(one, neighbour_overlap=0.9) for one in manifest.certificates]
    replace(manifest, certificates=tuple(certificates)).write(folder)
    try_plans(monkeypatch, replace(FUSED, must_qualify=True), EXACT)
    model = load_folder(folder, ProviderRequest())
    assert model.session.compute_dtype == "float32"
    assert model.reason.startswith("the overlap of nearest neighbours is 0.90000")


@pytest.mark.slow
def test_without_a_graph_nothing_is_said_by_default(
    exported: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unasked = replace(FUSED, must_qualify=True)
    try_plans(monkeypatch, replace(unasked, packed=True), unasked, EXACT)
    assert load_folder(exported, ProviderRequest()).session.compute_dtype == "float32"
    assert not [text for text in caplog.messages if " is not used: " in text]
    try_plans(monkeypatch, PACKED, FUSED)
    with pytest.raises(
        StartupError, match=r"no float16 graph; run: make export MODEL_ID=tiny-bert"
    ):
        load_folder(exported, ProviderRequest())
