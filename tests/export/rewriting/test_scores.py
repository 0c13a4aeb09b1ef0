"""Scores: the input of a softmax, wherever the converter put its factors and terms."""

import onnx
import pytest

from export.graph.reader import lift_constants
from export.rewriting import scores

GRAPH = """
<ir_version: 10, opset_import: ["": 18]>
scores (float[b, n, s, h] q, float[b, n, h, s] k, float[b, 1, s, s] mask) => (p)
<float two = {2.0}, float eight = {8.0}, float[1] root = {0.5}, float[1, 1, 1, 4] each = {1, 2, 3, 4}>
{
    NODES
}
"""


def found(nodes: str) -> dict[str, scores.Scores]:
    model = onnx.parser.parse_model(GRAPH.replace("NODES", nodes))
    lift_constants(model.graph)
    return scores.find_all(model.graph)


@pytest.mark.parametrize(
    ("nodes", "factor", "terms"),
    [
        ("s = MatMul(q, k) p = Softmax<axis=-1>(s)", 1.0, ()),
        ("s = MatMul(q, k) t = Div(s, eight) p = Softmax<axis=-1>(t)", 0.125, ()),
        (
            """
            a = Mul(q, root) b = Div(k, two) s = MatMul(a, b) t = Mul(s, root)
            u = Add(mask, t) v = Cast<to=1>(u) p = Softmax<axis=-1>(v)
            """,
            0.125,
            ("mask",),
        ),
        (
            """
            s = MatMul(q, k) both = Add(mask, mask) t = Add(s, both) u = Add(t, mask)
            p = Softmax<axis=-1>(u)
            """,
            1.0,
            ("mask", "mask", "mask"),
        ),
    ],
    ids=["bare", "divided", "scaled before and behind", "several terms"],
)
def test_factors_and_terms_are_gathered(nodes: str, factor: float, terms: tuple[str, ...]) -> None:
    assert found(nodes) == {"p": scores.Scores("q", "k", factor, terms)}


@pytest.mark.parametrize(
    "nodes",
    [
        "p = Softmax<axis=-1>(mask)",
        "s = MatMul(q, k) t = Relu(s) p = Softmax<axis=-1>(t)",
        "s = MatMul(q, k) t = Cast<to=10>(s) p = Softmax<axis=-1>(t)",
        "s = MatMul(q, each) p = Softmax<axis=-1>(s)",
    ],
    ids=["no product", "activated", "cast to float16", "weights"],
)
def test_a_softmax_of_something_else_is_left_out(nodes: str) -> None:
    assert not found(nodes)


def test_a_factor_of_each_entry_stays_where_it_is() -> None:
    nodes = "a = Mul(q, each) s = MatMul(a, k) p = Softmax<axis=-1>(s)"
    assert found(nodes) == {"p": scores.Scores("a", "k")}
