"""Scores: the sum that the softmax of an attention is of, followed back to its product."""

from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from onnx import TensorProto

from export.graph.reader import Reader, attribute


@dataclass(frozen=True, slots=True)
class Scores:
    """The product of queries and keys, with its factor and the terms added before the softmax."""

    queries: str
    keys: str
    factor: float = 1.0
    terms: tuple[str, ...] = ()


def find(reader: Reader, name: str) -> Scores | None:
    """Follow a sum back to the product of two activations."""
    node = reader.producer(name)
    if node is None:
        return None
    if node.op_type == "MatMul" and not any(map(reader.is_constant, node.input)):
        return Scores(*node.input)
    if node.op_type == "Add":
        for one, other in (node.input, node.input[::-1]):
            if (found := find(reader, one)) is not None:
                terms = (*found.terms, *_terms(reader, other))
                return Scores(found.queries, found.keys, found.factor, terms)
    if node.op_type in {"Mul", "Div"}:
        number = reader.number(node.input[1])
        found = find(reader, node.input[0])
        if number is not None and found is not None:
            factor = number if node.op_type == "Mul" else 1 / number
            terms = found.terms
            return Scores(found.queries, found.keys, found.factor * factor, terms)
    return None


def find_all(graph: onnx.GraphProto) -> dict[str, Scores]:
    """Return the scores of each softmax, by its output, with all single factors in one.

    A softmax of anything else is left out.
    """
    reader, found = Reader(graph), {}
    for node in graph.node:
        if node.op_type != "Softmax":
            continue
        cast = reader.made_by(node.input[0], "Cast")  # of a float32 graph: to what it is
        same = cast is not None and attribute(cast, "to") == TensorProto.FLOAT
        one = find(reader, cast.input[0] if cast is not None and same else node.input[0])
        if one is not None:
            queries, first = _unscaled(reader, one.queries)
            keys, second = _unscaled(reader, one.keys)
            found[node.output[0]] = Scores(queries, keys, one.factor * first * second, one.terms)
    return found


def _terms(reader: Reader, name: str) -> Iterator[str]:
    node = reader.made_by(name, "Add")
    if node is None:
        yield name
    else:
        for one in node.input:
            yield from _terms(reader, one)


def _unscaled(reader: Reader, name: str) -> tuple[str, float]:
    """Return a tensor and the number that it is multiplied by."""
    node = reader.producer(name)
    if node is not None and node.op_type in {"Mul", "Div"}:
        number = reader.number(node.input[1])
        if number is not None:
            return node.input[0], number if node.op_type == "Mul" else 1 / number
    return name, 1.0
