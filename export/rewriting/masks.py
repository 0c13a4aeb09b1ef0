"""Masks: the keys that each query sees by a mask of a graph, found by computing it.

Converters write a mask in many ways, of up to fifty nodes. All are computed for a few rows, padded
on either side, and each is told by what it hides, so that the way does not matter.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from export.graph.builder import Builder
from export.graph.reader import Reader, needs
from export.rewriting.settled_shapes import Array, Run, asking, feed

MASK = "attention_mask"
_HIDDEN = 1e9  # subtracted from scores: bfloat16 and float32 both hold it
_LEAST_HIDDEN = 1e4  # subtracted from a score, this leaves nothing of it
_SHORTEST, _LONGEST = 16, 1024  # tokens of the rows that are computed
_AXES = 4


@dataclass(frozen=True, slots=True)
class Sight:
    """The real tokens that a token sees before and behind it; None for all."""

    before: int | None = None
    behind: int | None = None


def find(model: onnx.ModelProto, names: Iterable[str], run: Run) -> dict[str, Sight]:
    """Return what each of these tensors, added to scores, lets a token see, if it is a mask.

    What a graph computes of shapes alone must be settled.
    """
    reader = Reader(model.graph)
    masks = [name for name in names if reader.fed_by(name) == {MASK}]
    found: dict[str, Sight] = {}
    reaches = {name: _reach(model.graph, name) for name in masks}
    masks = [name for name in masks if reaches[name] < _LONGEST]
    if masks:
        length = max(_SHORTEST, 2 + max(reaches[name] for name in masks))
        rows = _rows(length)
        [values] = run(asking(model, masks), [feed(model.graph, rows)])
        for name in masks:
            if (sight := _sight(values[name], rows == 1)) is not None:
                found[name] = sight
    return found


def add(builder: Builder, length: str, sights: Mapping[str, Sight]) -> dict[str, str]:
    """Add one mask for each sight, and return what stands for each of the masks that were found.

    It is (B, 1, 1, S) for a token that sees all others, else (B, 1, S, S); `length` names S.
    """
    missing = builder.node("Sub", builder.floats(MASK), builder.number(1))
    padding = builder.node("Mul", missing, builder.number(_HIDDEN))
    padding = builder.node("Unsqueeze", padding, builder.integers(1, 2))
    made = {Sight(): padding}
    for sight in sights.values():
        if sight not in made:
            made[sight] = builder.node("Add", padding, _out_of(builder, length, sight))
    return {name: made[sight] for name, sight in sights.items()}


def _out_of(builder: Builder, length: str, sight: Sight) -> str:
    """Add what hides the keys that are farther than a token sees, (S, S)."""
    keys = builder.node("Range", builder.integer(0), length, builder.integer(1))
    distances = builder.node("Sub", keys, builder.node("Unsqueeze", keys, builder.integers(1)))
    found = []
    if sight.before == sight.behind:
        distances = builder.node("Abs", distances)
    elif sight.before is not None:
        found.append(builder.node("Less", distances, builder.integer(-sight.before)))
    if sight.behind is not None:
        found.append(builder.node("Greater", distances, builder.integer(sight.behind)))
    far = found[0] if len(found) == 1 else builder.node("Or", *found)
    return builder.node("Mul", builder.floats(far), builder.number(-_HIDDEN))


def _rows(length: int) -> NDArray[np.int64]:
    """Return a mask of rows: one that is full, and others padded on the right and on the left."""
    places = np.arange(length)
    short = length // 2 + 1
    rows = [places >= 0, places < short, places >= length - short, places < 1]
    return np.array(rows, np.int64)


def _reach(graph: onnx.GraphProto, name: str) -> int:
    """Return the largest number that a tensor is computed of: no window is wider."""
    reader, pending, seen, reach = Reader(graph), [name], {""}, 0
    while pending:
        one = pending.pop()
        if one in seen:
            continue
        seen.add(one)
        value, node = reader.small(one), reader.producer(one)
        if value is not None and value.dtype.kind == "i":
            known = np.abs(value[np.abs(value) < np.iinfo(np.int32).max])
            reach = max(reach, int(known.max(initial=0)))
        elif node is not None:
            pending.extend(needs(node))
    return reach


def _sight(value: Array, real: NDArray[np.bool_]) -> Sight | None:
    """Return what a mask (B or 1, 1, S or 1, S) of these rows (B, S) shows, if that has a name."""
    rows, length = real.shape
    if value.ndim != _AXES or value.shape[1] != 1 or value.dtype.kind != "f":
        return None
    shown = np.broadcast_to(value[:, 0] == 0, (rows, length, length))
    if not np.all(shown | (np.broadcast_to(value[:, 0], shown.shape) <= -_LEAST_HIDDEN)):
        return None
    distances = np.subtract.outer(-np.arange(length), -np.arange(length))  # of a key, behind
    seen = distances[shown[0]]
    first, last = int(seen.min(initial=0)), int(seen.max(initial=0))
    within = (distances >= first) & (distances <= last)
    # What the queries of padding attend to does not matter.
    if not np.array_equal(shown[real], (within & real[:, None, :])[real]):
        return None
    farthest = length - 1
    return Sight(None if first == -farthest else -first, None if last == farthest else last)
