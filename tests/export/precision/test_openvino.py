"""OpenVINO's graph: published if proved, beside the exact one, whose weights it shares."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from app.model.batch import collate
from app.model.manifest import Manifest
from app.model.names import SENTENCE_EMBEDDING
from app.model.parts import Graph
from app.proof.probes import Probes
from export.precision import openvino, trial


def source(folder: Path) -> trial.Model:
    manifest = Manifest.read(folder)
    probes = Probes.read(folder / "probes.npz")
    return trial.Model(folder, manifest.graphs[0], manifest.padding, manifest.task, probes)


def copied(exported: Path, folder: Path) -> Path:
    for path in exported.iterdir():
        if path.name != openvino.FILE:
            (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_it_yields_the_vector_alone_from_weights_that_it_shares(exported: Path) -> None:
    manifest = Manifest.read(exported)
    exact, _, graph, *_ = manifest.graphs
    assert graph == Graph(
        openvino.FILE,
        "float32",
        ("openvino",),
        ("input_ids", "attention_mask"),
        (SENTENCE_EMBEDDING,),
        integers="int32",
    )
    assert openvino.FILE in manifest.files
    weights = exported / "model.onnx.data"
    assert [path.name for path in exported.glob("*.data")] == [weights.name]
    assert (exported / openvino.FILE).stat().st_size < weights.stat().st_size
    model = onnx.load(exported / openvino.FILE, load_external_data=False)
    stored = {item.value for one in model.graph.initializer for item in one.external_data[:1]}
    assert stored == {weights.name}
    assert not list(exported.glob("trial*"))
    assert manifest.graph_for("openvino", "float32") == graph
    whole = manifest.yielding("token_embeddings")
    assert whole.graph_for("openvino", "float32") == exact


def test_earlier_servers_take_the_exact_graph(exported: Path) -> None:
    """Without one in int16 they read the schema, skip new words, and take the first plain graph."""
    found = Manifest.read(exported)
    manifest = replace(found, graphs=tuple(one for one in found.graphs if one.dtype != "int16"))
    known = [one for one in manifest.graphs if "openvino" in one.providers]
    assert min(known, key=lambda one: one.attention == "plain") == manifest.graphs[0]


def test_a_graph_that_would_answer_otherwise_is_not_kept(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its probes are another model's, as if rewriting had lost a part of the mask."""
    caplog.set_level(logging.INFO)
    folder = copied(exported, tmp_path)
    honest = source(folder)
    vectors = honest.probes.vectors[::-1].copy()
    assert openvino.make(replace(honest, probes=replace(honest.probes, vectors=vectors))) is None
    assert "as it was converted: rewritten it is another model: worst cosine" in caplog.text
    assert not (folder / openvino.FILE).exists()
    assert not list(folder.glob("trial*"))


def test_token_types_that_a_text_alone_has_are_not_lost(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No type is read any more, so a tokenizer that gives a text others than 0 fails the proof."""
    caplog.set_level(logging.INFO)
    folder = copied(exported, tmp_path)
    honest = source(folder)
    typed = tuple(
        replace(one, token_type_ids=np.ones(len(one), np.int64)) for one in honest.probes.inputs
    )
    session = trial.CpuSession(folder / "model.onnx", honest.exact.inputs)
    vectors = [
        session.run(collate([one], honest.padding), [SENTENCE_EMBEDDING])[SENTENCE_EMBEDDING][0]
        for one in typed
    ]
    probes = replace(honest.probes, inputs=typed, vectors=np.stack(vectors))
    assert openvino.make(replace(honest, probes=probes)) is None
    assert "rewritten it is another model" in caplog.text


def test_a_model_with_answers_for_single_tokens_has_none(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    honest = source(copied(exported, tmp_path))
    answers = {"lexical_weights": np.zeros((7, 1), np.float32)}
    assert (
        openvino.make(replace(honest, probes=replace(honest.probes, token_answers=answers))) is None
    )
    assert "the model has more answers than one vector" in caplog.text
