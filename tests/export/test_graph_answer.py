"""A graph that yields the vector of a text by itself: what is grafted must equal it."""

import json
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from app.inference.manifest import Manifest
from export import from_onnx
from export.errors import ExportError
from export.from_onnx import Preparation
from tests import tiny
from tests.snapshot import encoder, write_folder


def answering(operators: tuple[str, ...], name: str = "sentence_embedding") -> onnx.ModelProto:
    """The tiny encoder, whose graph also takes a mean (one text at a time) and goes on from it."""
    model = encoder()
    value = model.graph.output[0].name
    model.graph.node.append(
        helper.make_node("ReduceMean", [value, "one"], ["step0"], keepdims=0, name="mean")
    )
    model.graph.initializer.append(helper.make_tensor("one", TensorProto.INT64, [1], [1]))
    for i, operator in enumerate(operators):
        model.graph.node.append(helper.make_node(operator, [f"step{i}"], [f"step{i + 1}"]))
    model.graph.node.append(helper.make_node("Identity", [f"step{len(operators)}"], [name]))
    answer = helper.make_tensor_value_info(name, TensorProto.FLOAT, ("b", tiny.DIMENSIONS))
    model.graph.output.append(answer)
    return model


def snapshot(folder: Path, model: onnx.ModelProto, pooling: str | None = None) -> Path:
    write_folder(folder, model)
    if pooling is None:
        (folder / "modules.json").unlink()
        shutil.rmtree(folder / "1_Pooling")
    else:
        (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode": pooling}))
    return folder


def prepare(folder: Path, pooling: Any = None) -> Manifest:
    return Manifest.read(
        from_onnx.prepare(Preparation(folder, folder / "models", "m", "m", pooling))
    )


@pytest.mark.parametrize("name", ["sentence_embedding", "dense_vecs"])
@pytest.mark.parametrize("operators", [(), ("LpNormalization",)], ids=["raw", "normalized"])
def test_the_graph_s_own_answer_says_how_it_pools(
    tmp_path: Path, operators: tuple[str, ...], name: str
) -> None:
    manifest = prepare(snapshot(tmp_path / "m", answering(operators, name)))
    assert (manifest.pooling, manifest.pooling_source) == ("mean", f"{name} of the graph")


@pytest.mark.parametrize(
    ("operators", "stated", "option", "said"),
    [
        (("Erf",), None, None, "any pooling"),
        (("Erf",), None, "mean", "mean (by --pooling)"),
        ((), None, "cls", "cls (by --pooling)"),
        ((), "cls", None, "cls (by 1_Pooling/config.json)"),
    ],
)
def test_another_pooling_than_the_graph_s_own_is_refused(
    tmp_path: Path, operators: tuple[str, ...], stated: str | None, option: Any, said: str
) -> None:
    folder = snapshot(tmp_path / "m", answering(operators), stated)
    with pytest.raises(ExportError) as refusal:
        prepare(folder, option)
    assert f"model.onnx yields sentence_embedding, and that is not {said}" in str(refusal.value)
    assert not (folder / "models/m").exists()


def test_what_bert_was_pretrained_by_is_no_answer(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "m", answering((), "pooler_output"))
    with pytest.raises(ExportError, match="to say how to pool"):
        prepare(folder)
