"""Pipeline: real exports of tiny checkpoints, and refusals."""

import json
import logging
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from app.model.manifest import PROBES_FILE, Manifest
from app.model.parts import GraphNames
from app.operators import library
from app.proof.bounds import WORST_COSINE
from app.proof.probes import Probes
from export import pipeline
from export.cli import Request
from export.config.layers import Head
from export.errors import ExportError
from export.from_onnx.preparation import Preparation
from export.from_torch import convert
from export.graph import heads
from tests.support.snapshot import write_folder
from tools.models.tiny_routers import ROUTERS


def hidden_names(models_dir: Path) -> list[str]:
    """Return what an export left behind, without lock files and published models."""
    return [p.name for p in models_dir.glob(".*") if not p.name.endswith(".lock")]


def test_folder_is_complete_and_unchanged(exported: Path) -> None:
    manifest = Manifest.read(exported)
    manifest.verify_files(exported)
    names = {path.name for path in exported.iterdir()}
    assert names == {*manifest.files, "manifest.json", "README.md"}
    graphs = {"model.onnx", "model.cpu.onnx", "model.openvino.onnx", "model.onnx.data"}
    if library.fault() is None:
        graphs.add("model.int16.onnx")
    assert set(manifest.files) == {*graphs, "tokenizer.json", "probes.npz"}
    assert hidden_names(exported.parent) == []


def test_manifest_states_what_the_checkpoint_says(exported: Path, bert: Path) -> None:
    manifest = Manifest.read(exported)
    assert (manifest.source.id, manifest.source.revision) == ("tiny-bert", None)
    assert (manifest.source.architecture, manifest.source.model_type) == ("BertModel", "bert")
    assert (manifest.pooling, manifest.dimensions, manifest.max_input_length) == ("mean", 32, 32)
    assert (manifest.normalize, manifest.similarity) == (True, "cosine")
    assert manifest.prompts == {"query": "q: "}
    assert manifest.vocabulary_size == json.loads((bert / "config.json").read_text())["vocab_size"]
    graph, *_ = manifest.graphs
    assert (graph.file, graph.dtype) == ("model.onnx", "float32")
    assert graph.providers == ("cpu", "openvino", "cuda", "tensorrt")
    assert graph.inputs == ("input_ids", "attention_mask", "token_type_ids")


def test_certificate_proves_the_graph_on_the_cpu(exported: Path) -> None:
    certificate = Manifest.read(exported).certificates[0]
    assert certificate.worst_cosine >= WORST_COSINE["float32"]
    assert (certificate.reference, certificate.provider) == ("sentence-transformers", "cpu")
    assert certificate.compute_dtype == "float32"
    assert certificate.probes >= 500
    assert certificate.neighbour_overlap is not None
    assert certificate.neighbour_overlap >= 0.999  # like texts may swap in the last digit
    assert certificate.longest_input == 32


def test_tokenizer_is_copied_byte_for_byte(exported: Path, bert: Path) -> None:
    assert (exported / "tokenizer.json").read_bytes() == (bert / "tokenizer.json").read_bytes()


def test_every_user_may_read_the_folder(exported: Path) -> None:
    assert exported.stat().st_mode & 0o055 == 0o055
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in exported.iterdir())


def test_probes_reach_the_maximum_length_and_differ(exported: Path) -> None:
    probes = Probes.read(exported / PROBES_FILE)
    assert max(map(len, probes.inputs)) == 32
    assert len(np.unique(probes.vectors, axis=0)) > len(probes) / 2


@pytest.mark.slow
def test_xlm_roberta_counts_positions_from_its_padding_id(
    xlm_roberta: Path, tmp_path: Path
) -> None:
    folder = pipeline.export(Request(str(xlm_roberta), models_dir=tmp_path / "models"))
    manifest = Manifest.read(folder)
    assert (manifest.padding.id, manifest.max_input_length) == (1, 24)
    assert (manifest.pooling, manifest.normalize) == ("cls", False)
    assert manifest.graphs[0].inputs == ("input_ids", "attention_mask")
    assert manifest.certificates[0].worst_cosine >= WORST_COSINE["float32"]


def test_pooling_is_never_guessed(
    bert: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    checkpoint = shutil.copytree(bert, tmp_path / "tiny-bert")
    (checkpoint / "modules.json").unlink()
    shutil.rmtree(checkpoint / "1_Pooling")
    models = tmp_path / "models"
    with pytest.raises(ExportError, match=r"--pooling cls .*--pooling mean"):
        pipeline.export(Request(str(checkpoint), models_dir=models))
    assert not models.exists()
    manifest = Manifest.read(
        pipeline.export(Request(str(checkpoint), pooling="cls", models_dir=models))
    )
    assert (manifest.pooling, manifest.pooling_source) == ("cls", "--pooling")
    assert "pooling: cls (by --pooling)" in caplog.messages


def test_steps_of_an_onnx_graph_are_numbered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    snapshot = write_folder(tmp_path / "small")
    wanted = Preparation(snapshot, tmp_path / "models", "small", "org/small")
    folder = pipeline.prepare(wanted)
    assert [line for line in caplog.messages if line.startswith("[")] == [
        f"[1/5] reading {snapshot}",
        f"[2/5] running {snapshot / 'onnx/model.onnx'} over 101 probe texts",
        "[3/5] adding the outputs that are served",
        "[4/5] proving: the serving code replays the probes",
        f"[5/5] publishing {folder}",
    ]
    [quality] = [line for line in caplog.messages if line.startswith("cpu in float32: worst")]
    assert quality.endswith(" texts to the graph as it was found")
    assert re.fullmatch(rf"{folder}: \d\.\d MB in \d+\.\d s", caplog.messages[-1])
    caplog.clear()
    assert pipeline.prepare(wanted) == folder
    assert caplog.messages == [f"{folder} is there already"]


def test_steps_of_a_static_model_are_numbered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    checkpoint = ROUTERS["static"](tmp_path / "static")
    folder = pipeline.export(Request(str(checkpoint), models_dir=tmp_path / "models"))
    assert [line for line in caplog.messages if line.startswith("[")] == [
        f"[1/6] finding {checkpoint}",
        f"[2/6] reading {checkpoint}",
        "[3/6] running the original model over 101 probe texts",
        "[4/6] converting static to ONNX",
        "[5/6] proving: the serving code replays the probes",
        f"[6/6] publishing {folder}",
    ]


@pytest.mark.slow
def test_weights_may_be_a_pickle(bert: Path, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    checkpoint = shutil.copytree(bert, tmp_path / "tiny-bert")
    weights = checkpoint / "model.safetensors"
    torch.save(load_file(weights), checkpoint / "pytorch_model.bin")
    weights.unlink()
    folder = pipeline.export(Request(str(checkpoint), models_dir=tmp_path / "models"))
    assert Manifest.read(folder).certificates[0].worst_cosine >= WORST_COSINE["float32"]


def test_failing_converter_is_quoted_in_one_line(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("cannot trace\nat line 3")

    monkeypatch.setattr(convert, "main_export", fail)
    with pytest.raises(ExportError, match=r"^the conversion to ONNX failed: cannot trace$"):
        pipeline.export(Request(str(bert), models_dir=tmp_path))


@pytest.mark.slow
def test_another_export_replaces_the_folder_and_changes_the_fingerprint(
    exported: Path, other_bert: Path, tmp_path: Path
) -> None:
    models_dir = tmp_path / "models"
    place = models_dir / "tiny-bert"
    shutil.copytree(exported, place)
    (place / "leftover").touch()
    folder = pipeline.export(Request(str(other_bert), models_dir=models_dir, pooling="last_token"))
    assert folder == place
    manifest = Manifest.read(place)
    manifest.verify_files(place)
    assert not (place / "leftover").exists()
    assert manifest.pooling == "last_token"
    assert manifest.fingerprint != Manifest.read(exported).fingerprint
    assert hidden_names(models_dir) == []


def test_graph_that_differs_from_the_model_is_not_published(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = heads.graft

    def graft(source: Path, folder: Path, *_: object) -> GraphNames:
        return original(source, folder, Head(("cls",)))  # the checkpoint says mean

    monkeypatch.setattr(heads, "graft", graft)
    with pytest.raises(
        ExportError, match=r"worst cosine .* needed at least 0.99999; nothing was published"
    ):
        pipeline.export(Request(str(bert), models_dir=tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [".tiny-bert.lock"]


def test_weights_that_do_not_fit_the_configuration_are_refused(bert: Path, tmp_path: Path) -> None:
    checkpoint = shutil.copytree(bert, tmp_path / "tiny-bert")
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 3}))
    with pytest.raises(ExportError, match=r"weights lack encoder\.layer\.2.* and 15 more"):
        pipeline.export(Request(str(checkpoint), models_dir=tmp_path / "models"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"not safetensors at all"),
        ("model.safetensors", None),
        ("config.json", b"{"),
        ("config.json", b'"num_hidden_layers": "two"'),
        ("config.json", b'"layer_norm_eps": {}'),
        ("tokenizer.json", b"\xff"),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b'"model": {"type": "unheard of"}'),
        ("tokenizer_config.json", b'"cls_token": 5'),
        ("modules.json", b"[{]"),
        ("modules.json", b'[{"type": "sentence_transformers.models.Strange", "path": ""}]'),
        ("1_Pooling/config.json", None),
    ],
)
def test_damaged_files_are_refused_in_one_line_that_names_them(
    bert: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    """Cut in half, replaced, or with one value changed."""
    checkpoint = shutil.copytree(bert, tmp_path / "tiny-bert")
    path = checkpoint / name
    whole = path.read_bytes()
    if content is None:
        path.write_bytes(whole[: len(whole) // 2])
    elif content.startswith(b'"'):
        path.write_text(json.dumps(json.loads(whole) | json.loads(b"{" + content + b"}")))
    else:
        path.write_bytes(content)
    with pytest.raises(ExportError) as refusal:
        pipeline.export(Request(str(checkpoint), models_dir=tmp_path / "models"))
    assert "\n" not in str(refusal.value)
    named = name if content != b'"layer_norm_eps": {}' else checkpoint.name
    assert named in str(refusal.value)
