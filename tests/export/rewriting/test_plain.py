"""A graph of the vector alone: which models have one, and that its answers are equal."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest

from app.model.batch import TokenizedInput, collate
from app.model.names import SENTENCE_EMBEDDING, Side
from app.model.parts import Padding
from export.checkpoint import read as checkpoints
from export.from_torch import originals
from export.graph import heads
from export.graph.reader import Reader
from export.precision import trial
from export.precision.trial import CpuSession
from export.rewriting import plain
from export.weights import tensors
from tools.models import checkpoints as tiny_checkpoints
from tools.models.tiny_models import TINY_MODELS

# The exporters use functions that torch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

LENGTHS = ([5], [1], [32], [7, 7], [32, 32, 32], [3, 9, 1, 32], [1, 1, 2], [48, 40])
RIGHT: Sequence[Side] = ("right",)
BOTH: Sequence[Side] = ("right", "left")
MASKS = ("input_ids", "attention_mask")
FEW = pytest.mark.slow  # the fast ones cover each kind of attention and of embeddings
REWRITTEN = (
    ("bert-mean-without-prompt", (*MASKS, "pooling_mask"), RIGHT),
    ("mpnet-mean", MASKS, RIGHT),  # position bias
    ("xlm-roberta-cls", MASKS, RIGHT),  # positions counted by ids
    ("modernbert-cls", MASKS, RIGHT),  # rotary positions, a window of 16 tokens
    ("mistral-lasttoken", MASKS, BOTH),  # causal, a window of 24, heads that share keys
    pytest.param("bert-cls", MASKS, RIGHT, marks=FEW),
    pytest.param("bert-max", MASKS, RIGHT, marks=FEW),
    pytest.param("roberta-mean", MASKS, RIGHT, marks=FEW),
    pytest.param("camembert-mean", MASKS, RIGHT, marks=FEW),
    pytest.param("distilbert-mean", MASKS, RIGHT, marks=FEW),
    pytest.param("albert-mean", MASKS, RIGHT, marks=FEW),
    pytest.param("electra-mean", MASKS, RIGHT, marks=FEW),
    pytest.param("mt5-mean", MASKS, RIGHT, marks=FEW),
    pytest.param("qwen2-lasttoken", MASKS, BOTH, marks=FEW),
    pytest.param("qwen3-lasttoken", MASKS, BOTH, marks=FEW),
    pytest.param("llama-lasttoken", MASKS, BOTH, marks=FEW),
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


@pytest.mark.slow
@pytest.mark.parametrize(("name", "inputs", "sides"), REWRITTEN)
def test_answers_are_those_of_the_whole_graph(
    tmp_path: Path, name: str, inputs: tuple[str, ...], sides: Sequence[Side]
) -> None:
    path = finished(name, tmp_path)
    whole, model = onnx.load(path), onnx.load(path, load_external_data=False)
    assert plain.rewrite(model, partial(trial.outputs, tmp_path)) is None
    onnx.save_model(model, tmp_path / "plain.onnx")
    assert tuple(one.name for one in model.graph.input) == inputs
    assert [one.name for one in model.graph.output] == [SENTENCE_EMBEDDING]
    exact = CpuSession(path, [one.name for one in whole.graph.input])
    found = CpuSession(tmp_path / "plain.onnx", inputs)
    chance = np.random.default_rng(7)
    for side, lengths in product(sides, LENGTHS):
        texts = [TokenizedInput(chance.integers(5, 90, length)) for length in lengths]
        batch = collate(texts, Padding(1, 0, side))
        expected = exact.run(batch, [SENTENCE_EMBEDDING])[SENTENCE_EMBEDDING]
        actual = found.run(batch, [SENTENCE_EMBEDDING])[SENTENCE_EMBEDDING]
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_a_graph_of_another_kind_is_left_as_it_is(tmp_path: Path) -> None:
    """DeBERTa's scores are a sum of three products, replaced by the mask where it hides."""
    model = onnx.load(finished("deberta-v2-mean", tmp_path), load_external_data=False)
    run = partial(trial.outputs, tmp_path)
    assert plain.rewrite(model, run) == "its attention is of another kind"


@pytest.mark.parametrize(
    ("name", "dense"),
    [
        ("bert-mean", 24),
        pytest.param("t5-mean-dense", 0, marks=FEW),
        pytest.param("gemma3-mean-dense", 0, marks=FEW),
    ],
)
def test_a_layer_behind_the_pooling_is_left_where_tokens_keep_it_exact(
    tmp_path: Path, name: str, dense: int
) -> None:
    model = onnx.load(finished(name, tmp_path, dense), load_external_data=False)
    run = partial(trial.outputs, tmp_path)
    assert plain.rewrite(model, run) == "there is a layer behind its pooling"


@pytest.mark.slow
def test_layers_that_see_the_same_share_one_mask(tmp_path: Path) -> None:
    """The first and the last layer of this model see all tokens, the two others 8 tokens away."""
    model = onnx.load(finished("modernbert-cls", tmp_path), load_external_data=False)
    whole = operators(model)
    plain.rewrite(model, partial(trial.outputs, tmp_path))
    reader = Reader(model.graph)
    sums = [reader.producer(one.input[0]) for one in model.graph.node if one.op_type == "Softmax"]
    first, *local, last = [one.input[1] for one in sums if one is not None]
    assert (first, *local) == (last, local[0], local[0])
    factors = [reader.producer(one.input[0]) for one in sums if one is not None]
    scales = [reader.number(one.input[1]) for one in factors if one is not None]
    assert scales == pytest.approx([1 / math.sqrt(8)] * 4)
    found = operators(model)
    assert found.count("Shape") == 1 < whole.count("Shape")
    assert "Expand" not in found
    assert "Where" not in found
    assert len(found) < len(whole) / 2


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
