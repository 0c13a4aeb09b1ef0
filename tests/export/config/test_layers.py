"""Layers behind an encoder: which tensors they need, and how wide they make a vector."""

from pathlib import Path

import pytest

from export.config.layers import Dense, Head, Layer, LayerNorm, Linear, Normalize, width_behind

PLACE = Path("2_Dense")


@pytest.mark.parametrize(
    ("layer", "shapes"),
    [
        (Dense(PLACE, 8, 4), {"linear.weight": (4, 8), "linear.bias": (4,)}),
        (Dense(PLACE, 8, 4, bias=False), {"linear.weight": (4, 8)}),
        (
            Dense(PLACE, 8, 4, bias=False, residual=True),
            {"linear.weight": (4, 8), "residual.weight": (4, 8)},
        ),
        (Dense(PLACE, 8, 8, bias=False, residual=True), {"linear.weight": (8, 8)}),
        (LayerNorm(PLACE, 8), {"norm.weight": (8,), "norm.bias": (8,)}),
        (Linear(PLACE, 8), {"weight": (None, 8), "bias": (None,)}),
        (Normalize(), {}),
    ],
)
def test_a_layer_needs_its_tensors(layer: Layer, shapes: dict[str, tuple[int | None, ...]]) -> None:
    assert layer.shapes == shapes


def test_facts_of_a_layer_define_its_function() -> None:
    assert Dense(PLACE, 8, 4).facts == ["Dense", "Tanh"]
    assert Dense(PLACE, 8, 4, activation="GELU", residual=True).facts == [
        "Dense",
        "GELU",
        "residual",
    ]
    assert Linear(PLACE, 8).facts == ["Linear", "Identity"]


def test_layers_make_a_vector_as_wide_as_the_last_of_them() -> None:
    assert width_behind((), 8) == 8
    layers = (Dense(PLACE, 8, 4), Normalize(), LayerNorm(PLACE, 4), Linear(PLACE, 4, 2))
    assert width_behind(layers, 8) == 2
    with pytest.raises(ValueError, match="2_Dense takes 8 values, and gets 4"):
        width_behind(layers, 4)


def test_only_a_plain_head_may_be_pooled_otherwise() -> None:
    assert Head(("mean",)).is_plain
    assert not Head(("mean", "cls")).is_plain
    assert not Head(("mean",), (Normalize(),)).is_plain
    assert not Head(("mean",), cut=4).is_plain


def test_a_head_has_its_pooling_in_one_word() -> None:
    assert Head(("mean", "cls")).pooling == "mean+cls"
    assert Head((), graph_width=4).pooling == "graph"
