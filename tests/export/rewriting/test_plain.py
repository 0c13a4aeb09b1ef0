"""A graph of the vector alone: which models have one, and that it gives the same answers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from app.model.batch import TokenizedInput, collate
from app.model.names import SENTENCE_EMBEDDING
from app.model.parts import Padding
from export.checkpoint import read as checkpoints
from export.from_torch import originals
from export.graph import heads
from export.precision.trial import CpuSession
from export.rewriting import plain
from export.weights import tensors
from tools.models import checkpoints as tiny_checkpoints
from tools.models.tiny_models import TINY_MODELS

# The exporters use what torch means to replace.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

LENGTHS = ([5], [1], [32], [7, 7], [32, 32, 32], [3, 9, 1, 32], [1, 1, 2])
MASKS = ("input_ids", "attention_mask")
FEW = pytest.mark.slow  # the quick ones show each kind of attention and of embeddings
REWRITTEN = (
    ("bert-mean-without-prompt", (*MASKS, "pooling_mask")),
    ("mpnet-mean", MASKS),  # a bias of positions
    ("xlm-roberta-cls", MASKS),  # positions counted by ids
    pytest.param("bert-cls", MASKS, marks=FEW),
    pytest.param("bert-max", MASKS, marks=FEW),
    pytest.param("roberta-mean", MASKS, marks=FEW),
    pytest.param("camembert-mean", MASKS, marks=FEW),
    pytest.param("distilbert-mean", MASKS, marks=FEW),
    pytest.param("albert-mean", MASKS, marks=FEW),
    pytest.param("electra-mean", MASKS, marks=FEW),
)
OTHERWISE = "its attention is of another kind than BERT's"
LEFT = (
    ("qwen3-lasttoken", OTHERWISE),
    pytest.param("modernbert-cls", OTHERWISE, marks=FEW),
    pytest.param("deberta-v2-mean", OTHERWISE, marks=FEW),
    pytest.param("t5-mean-dense", OTHERWISE, marks=FEW),
    pytest.param("gemma3-mean-dense", OTHERWISE, marks=FEW),
)


def finished(name: str, folder: Path, dense: int = 0) -> Path:
    """The float32 graph of a tiny model, with its head."""
    [model] = [one for one in TINY_MODELS if one.name == name]
    written = tiny_checkpoints.write(replace(model, dense=model.dense or dense), folder / "c")
    checkpoint = checkpoints.read(written)
    bare = originals.bare(checkpoint, folder / "bare")
    weights = tensors.load(checkpoint.layers)
    heads.finish(bare, folder, checkpoint.task, checkpoint.head, weights)
    return folder / "model.onnx"


def operators(model: onnx.ModelProto) -> Sequence[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize(("name", "inputs"), REWRITTEN)
def test_answers_are_those_of_the_whole_graph(
    tmp_path: Path, name: str, inputs: tuple[str, ...]
) -> None:
    path = finished(name, tmp_path)
    whole, model = onnx.load(path), onnx.load(path, load_external_data=False)
    assert plain.rewrite(model) is None
    onnx.save_model(model, tmp_path / "plain.onnx")
    assert tuple(one.name for one in model.graph.input) == inputs
    assert [one.name for one in model.graph.output] == [SENTENCE_EMBEDDING]
    exact = CpuSession(path, [one.name for one in whole.graph.input])
    found = CpuSession(tmp_path / "plain.onnx", inputs)
    chance = np.random.default_rng(7)
    for lengths in LENGTHS:
        texts = [TokenizedInput(chance.integers(5, 90, length)) for length in lengths]
        batch = collate(texts, Padding(1, 0, "right"))
        expected = exact.run(batch, [SENTENCE_EMBEDDING])[SENTENCE_EMBEDDING]
        actual = found.run(batch, [SENTENCE_EMBEDDING])[SENTENCE_EMBEDDING]
        np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.parametrize(("name", "why"), LEFT)
def test_a_graph_of_another_kind_is_left_as_it_is(tmp_path: Path, name: str, why: str) -> None:
    model = onnx.load(finished(name, tmp_path), load_external_data=False)
    assert plain.rewrite(model) == why


def test_a_layer_behind_the_pooling_is_left_where_tokens_keep_it_exact(tmp_path: Path) -> None:
    path = finished("bert-mean", tmp_path, dense=24)
    model = onnx.load(path, load_external_data=False)
    assert plain.rewrite(model) == "there is a layer behind its pooling"


def test_shapes_are_computed_for_positions_only_and_tokens_pooled_by_a_sum(
    exported: Path,
) -> None:
    """So that the sums of the residual stream stay in float32, and few nodes meet a new shape."""
    whole = operators(onnx.load(exported / "model.onnx", load_external_data=False))
    found = operators(onnx.load(exported / "model.openvino.onnx", load_external_data=False))
    assert found.count("Softmax") == whole.count("Softmax") == 2
    assert found.count("Shape") == 1 < whole.count("Shape")
    assert found.count("MatMul") == 2 * (4 + 2 + 2)  # projections, attention, what is in between
    assert len(found) < len(whole) / 2
