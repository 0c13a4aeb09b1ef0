"""A graph whose token embeddings are rows of a table, small enough to read."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from app.model.manifest import GRAPH_FILE

TABLE = np.random.default_rng(3).normal(size=(50, 8)).astype(np.float32)
LENGTHS = {"ragged": [3, 1, 5], "equal": [4, 4], "one row": [5], "one token": [1]}


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
    return ids, mask  # padding holds ids of real words, so that a leak into the result shows
