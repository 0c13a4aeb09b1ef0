"""Heads: every pooling against NumPy, on graphs small enough to read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sentence_transformers.sparse_encoder import modules as sparse_modules

from app.model.manifest import GRAPH_FILE
from app.model.names import (
    LOGITS,
    POOLED_OUTPUTS,
    SENTENCE_EMBEDDING,
    SPARSE_EMBEDDING,
    TOKEN_EMBEDDINGS,
    Pooling,
    PoolingMode,
)
from export.config import splade
from export.config.layers import ACTIVATIONS, Activation, Dense, Head, LayerNorm, Normalize, Weights
from export.config.splade import Splade
from export.errors import ExportError
from export.graph import heads
from export.reference.head import vector

TABLE = np.random.default_rng(3).normal(size=(50, 8)).astype(np.float32)
LENGTHS = {"ragged": [3, 1, 5], "equal": [4, 4], "one row": [5], "one token": [1]}
NAMES = list(POOLED_OUTPUTS)


def encoder(
    folder: Path, *, inputs: tuple[str, ...] = (), output: str = "last_hidden_state"
) -> Path:
    """A graph whose token embeddings are rows of TABLE, plus the position if that is an input."""
    nodes = [helper.make_node("Gather", ["table", "input_ids"], [output])]
    if "position_ids" in inputs:
        nodes = [
            helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
            helper.make_node("Cast", ["position_ids"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["floats", "last_axis"], ["positions"]),
            helper.make_node("Add", ["rows", "positions"], [output]),
        ]
    axes = ["batch_size", "sequence_length"]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, axes)
            for name in ("input_ids", "attention_mask", *inputs)
        ],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [*axes, TABLE.shape[1]])],
        [
            numpy_helper.from_array(TABLE, "table"),
            numpy_helper.from_array(np.array([-1]), "last_axis"),
        ],
    )
    path = folder / "encoder.onnx"
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)
    return path


def run(
    folder: Path, ids: NDArray[np.int64], mask: NDArray[np.int64]
) -> dict[str, NDArray[np.float32]]:
    session = onnxruntime.InferenceSession(folder / GRAPH_FILE)
    names = [output.name for output in session.get_outputs()]
    feed = {"input_ids": ids, "attention_mask": mask}
    return dict(zip(names, session.run(names, feed), strict=True))


def pad(lengths: list[int], side: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ids = np.random.default_rng(5).integers(1, 50, (len(lengths), max(lengths)))
    columns = np.arange(max(lengths))[None]
    size = np.array(lengths)[:, None]
    mask = (columns < size if side == "right" else columns >= max(lengths) - size).astype(np.int64)
    return ids, mask  # padding holds ids of real words, so that a leak shows


def pool_reference(row: NDArray[np.float32], mode: Pooling) -> NDArray[np.float32]:
    rows: dict[Pooling, NDArray[np.float32]] = {
        "cls": row[0],
        "mean": row.mean(axis=0),
        "last_token": row[-1],
    }
    return rows[mode]


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", NAMES)
def test_pooled_output_equals_numpy(
    tmp_path: Path, mode: Pooling, side: str, lengths: list[int]
) -> None:
    heads.graft(encoder(tmp_path), tmp_path, Head((mode,)))
    ids, mask = pad(lengths, side)
    outputs = run(tmp_path, ids, mask)
    rows = [TABLE[ids[i][mask[i] == 1]] for i in range(len(lengths))]
    for name, output in POOLED_OUTPUTS.items():
        expected = np.stack([pool_reference(row, name) for row in rows])
        np.testing.assert_allclose(outputs[output], expected, rtol=0, atol=2e-7)
        assert outputs[output].dtype == np.float32
    np.testing.assert_array_equal(outputs[SENTENCE_EMBEDDING], outputs[POOLED_OUTPUTS[mode]])
    np.testing.assert_array_equal(outputs[TOKEN_EMBEDDINGS], TABLE[ids])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_what_is_not_pooled_does_not_count(tmp_path: Path, mode: PoolingMode, side: str) -> None:
    names = heads.graft(encoder(tmp_path), tmp_path, Head((mode,), include_prompt=False))
    assert names[0] == ("input_ids", "attention_mask", "pooling_mask")
    ids, mask = pad([5, 3, 2], side)
    prompts = [2, 0, 1]
    pooled = mask.copy()
    for row, count in enumerate(prompts):
        pooled[row, np.flatnonzero(mask[row])[:count]] = 0
    session = onnxruntime.InferenceSession(tmp_path / GRAPH_FILE)
    feed = {"input_ids": ids, "attention_mask": mask, "pooling_mask": pooled}
    [found] = session.run([SENTENCE_EMBEDDING], feed)
    expected = [
        vector(Head((mode,)), {}, TABLE[ids[i][mask[i] == 1]][count:], count)
        for i, count in enumerate(prompts)
    ]
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-6)


def test_cls_and_last_token_are_picked_exactly(tmp_path: Path) -> None:
    heads.graft(encoder(tmp_path), tmp_path, Head(("cls",)))
    ids, mask = pad([5, 2], "right")
    outputs = run(tmp_path, ids, mask)
    np.testing.assert_array_equal(outputs["pooled_cls"], TABLE[ids[:, 0]])
    np.testing.assert_array_equal(outputs["pooled_last_token"], TABLE[[ids[0, 4], ids[1, 1]]])


def test_row_without_tokens_is_zero_and_not_nan(tmp_path: Path) -> None:
    heads.graft(encoder(tmp_path), tmp_path, Head(("mean",)))
    ids, mask = pad([3, 2], "right")
    mask[1] = 0
    outputs = run(tmp_path, ids, mask)
    for name in POOLED_OUTPUTS.values():
        np.testing.assert_array_equal(outputs[name][1], np.zeros(TABLE.shape[1]))


def test_position_ids_count_real_tokens_under_left_padding(tmp_path: Path) -> None:
    inputs, _ = heads.graft(
        encoder(tmp_path, inputs=("position_ids",)), tmp_path, Head(("last_token",))
    )
    assert inputs == ("input_ids", "attention_mask")
    ids, mask = pad([2, 4], "left")
    tokens = run(tmp_path, ids, mask)[TOKEN_EMBEDDINGS]
    positions = np.array([[0, 0, 0, 1], [0, 1, 2, 3]], np.float32)
    np.testing.assert_allclose(tokens, TABLE[ids] + positions[:, :, None], atol=1e-6)


def test_axes_are_named_and_outputs_declared_in_order(tmp_path: Path) -> None:
    _, outputs = heads.graft(encoder(tmp_path), tmp_path, Head(("cls",)))
    assert outputs == (TOKEN_EMBEDDINGS, SENTENCE_EMBEDDING, *POOLED_OUTPUTS.values())
    session = onnxruntime.InferenceSession(tmp_path / GRAPH_FILE)
    assert [item.shape for item in session.get_inputs()] == [["batch", "sequence"]] * 2
    assert session.get_outputs()[0].shape == ["batch", "sequence", 8]
    assert {tuple(item.shape) for item in session.get_outputs()[1:]} == {("batch", 8)}


def test_weights_lie_in_a_file_of_their_own(tmp_path: Path) -> None:
    heads.graft(encoder(tmp_path), tmp_path, Head(("cls",)))
    assert (tmp_path / "model.onnx.data").stat().st_size >= TABLE.nbytes
    assert (tmp_path / GRAPH_FILE).stat().st_size < 8 * TABLE.nbytes


def test_graph_with_an_unknown_input_is_refused(tmp_path: Path) -> None:
    source = encoder(tmp_path, inputs=("bbox",))
    with pytest.raises(ExportError, match="asks for bbox: not supported"):
        heads.graft(source, tmp_path, Head(("cls",)))


def test_graph_with_another_output_is_refused(tmp_path: Path) -> None:
    source = encoder(tmp_path, output="logits")
    with pytest.raises(ExportError, match="yields logits instead of last_hidden_state"):
        heads.graft(source, tmp_path, Head(("cls",)))


OTHERS: dict[PoolingMode, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "max": lambda row: row.max(axis=0),
    "mean_sqrt_len_tokens": lambda row: row.sum(axis=0) / np.sqrt(np.float32(len(row))),
    "weightedmean": lambda row: np.average(row, axis=0, weights=range(1, len(row) + 1)),
}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("side", ["left", "right"])
def test_other_poolings_are_concatenated_in_order(
    tmp_path: Path, side: str, lengths: list[int]
) -> None:
    heads.graft(encoder(tmp_path), tmp_path, Head(tuple(OTHERS)))
    ids, mask = pad(lengths, side)
    outputs = run(tmp_path, ids, mask)
    assert list(outputs) == [TOKEN_EMBEDDINGS, SENTENCE_EMBEDDING]  # nothing to override it by
    rows = [TABLE[ids[i][mask[i] == 1]] for i in range(len(lengths))]
    expected = [np.concatenate([pool(row) for pool in OTHERS.values()]) for row in rows]
    np.testing.assert_allclose(outputs[SENTENCE_EMBEDDING], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_layers_equal_torch(tmp_path: Path, activation: Activation) -> None:
    import torch
    from torch import nn

    torch.manual_seed(1)
    linear, norm = nn.Linear(8, 5), nn.LayerNorm(5)
    nn.init.normal_(norm.weight)
    dense = Dense(tmp_path / "dense", 8, 5, activation=activation)
    middle, scale = Normalize(), LayerNorm(tmp_path / "norm", 5)
    weights: Weights = {
        dense: {f"linear.{name}": one.detach().numpy() for name, one in linear.named_parameters()},
        middle: {},
        scale: {f"norm.{name}": one.detach().numpy() for name, one in norm.named_parameters()},
    }
    heads.graft(encoder(tmp_path), tmp_path, Head(("cls",), (dense, middle, scale), 3), weights)
    ids, mask = pad([3, 2], "right")
    found = run(tmp_path, ids, mask)[SENTENCE_EMBEDDING]
    with torch.inference_mode():
        active = getattr(nn, activation)()
        value = active(linear(torch.from_numpy(TABLE[ids[:, 0]])))
        expected = norm(nn.functional.normalize(value, dim=1))[:, :3].numpy()
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("strategy", splade.STRATEGIES)
@pytest.mark.parametrize("activation", splade.ACTIVATIONS)
@pytest.mark.parametrize("normalize", [False, True])
def test_sparse_is_what_splade_pooling_makes_of_the_real_tokens(
    tmp_path: Path, lengths: list[int], side: str, strategy: Any, activation: Any, normalize: bool
) -> None:
    head = Splade(strategy, activation, normalize)
    names = heads.finish(encoder(tmp_path, output="logits"), tmp_path, "splade", head)
    assert names == (("input_ids", "attention_mask"), (SPARSE_EMBEDDING,))
    ids, mask = pad(lengths, side)
    [actual] = run(tmp_path, ids, mask).values()
    expected = [library_s(head, TABLE[row[real == 1]]) for row, real in zip(ids, mask, strict=True)]
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    alone = [
        splade.vector(TABLE[row[real == 1]], head) for row, real in zip(ids, mask, strict=True)
    ]
    np.testing.assert_allclose(alone, expected, atol=1e-6)


def library_s(head: Splade, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """What sentence-transformers makes of the logits of one text, two tokens at a time."""
    library: Any = sparse_modules
    pooling = library.SpladePooling(head.strategy, head.activation, chunk_size=2).eval()
    features = {
        "token_embeddings": torch.from_numpy(logits)[None],
        "attention_mask": torch.ones((1, len(logits)), dtype=torch.int64),
    }
    found = pooling(features)["sentence_embedding"][0]
    vector: NDArray[np.float32] = (
        torch.nn.functional.normalize(found, dim=0) if head.normalize else found
    ).numpy()
    return vector


def test_logits_of_a_classifier_are_left_as_they_are(tmp_path: Path) -> None:
    source = encoder(tmp_path, output="logits")
    assert heads.finish(source, tmp_path, "classifier", None)[1] == (LOGITS,)
    ids, mask = pad([3, 2], "right")
    [actual] = run(tmp_path, ids, mask).values()
    assert np.array_equal(actual, TABLE[ids])
