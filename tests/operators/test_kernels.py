"""All kernels give the same bits, alone and in a batch, on one thread and on several."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from tests.support.operators import PLAIN, Floats, Operators, digest, kernels

THREADS = (1, 2, 5)
ROWS = (1, 2, 5, 6, 7, 12, 13, 25, 97)
# Depth and width: below, at and above what a block, a panel and a pair hold.
SHAPES = ((1, 1), (2, 16), (30, 7), (33, 33), (384, 32), (385, 17), (800, 48))
FAST = [name for name in kernels() if name != PLAIN]


def numbers(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize(("depth", "width"), SHAPES)
def test_products_have_the_bits_of_the_plain_kernel(
    runner: Operators, kernel: str, depth: int, width: int
) -> None:
    weights = [numbers(i, depth, width + i) for i in range(3)]
    biases = [numbers(9 + i, width + i) for i in range(3)]
    for rows in ROWS:
        x = numbers(rows, rows, depth)
        wanted = digest(runner.linear(x, weights, biases, kernel=PLAIN))
        for threads in THREADS:
            found = runner.linear(x, weights, biases, kernel=kernel, threads=threads)
            assert digest(found) == wanted, (rows, threads)


LAYERS: Mapping[str, Mapping[str, Any]] = {
    "gelu": {"activation": 1},
    "tanh": {"activation": 2, "gate": 1},
    "silu": {"activation": 3, "gate": 2},
}


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize(("depth", "middle"), [(16, 64), (40, 37), (96, 401)])
@pytest.mark.parametrize("layer", LAYERS)
def test_feed_forward_layers_have_the_bits_of_the_plain_kernel(
    runner: Operators, kernel: str, layer: str, depth: int, middle: int
) -> None:
    options = LAYERS[layer]
    ups = [numbers(i, depth, middle) for i in range(2 if options.get("gate") == 1 else 1)]
    if options.get("gate") == 2:
        ups = [numbers(1, depth, 2 * middle)]
    weights = [*ups, numbers(5, middle, depth)]
    biases = [numbers(7, one.shape[1]) for one in weights]
    for rows in ROWS:
        x, residual = numbers(rows, rows, depth), numbers(3, rows, depth)
        plain = runner.feed_forward(x, weights, biases, residual=residual, kernel=PLAIN, **options)
        for threads in THREADS:
            found = runner.feed_forward(
                x, weights, biases, residual=residual, kernel=kernel, threads=threads, **options
            )
            assert digest([found]) == digest([plain]), (rows, threads)


@pytest.mark.parametrize("kernel", kernels())
def test_a_row_has_the_same_bits_alone_and_among_others(runner: Operators, kernel: str) -> None:
    x, weights = numbers(1, 3, 41, 96), [numbers(2, 96, 200), numbers(3, 200, 96)]
    layer = runner.feed_forward(x, weights, activation=1, kernel=kernel, threads=2)
    [product] = runner.linear(x, weights[:1], kernel=kernel, threads=2)
    for place in ((0, 0), (1, 17), (2, 40)):
        alone = np.ascontiguousarray(x[place][np.newaxis])
        assert digest([runner.feed_forward(alone, weights, activation=1)]) == digest([layer[place]])
        assert digest(runner.linear(alone, weights[:1])) == digest([product[place]])


@pytest.mark.parametrize("kernel", kernels())
def test_sums_at_the_bound_do_not_overflow(runner: Operators, kernel: str) -> None:
    """Rows and weights at their largest, all of one sign: the sum nearest to 2^31."""
    for depth, width in ((1, 16), (2, 17), (384, 32), (700, 5)):
        x = np.full((7, depth), 3.0, np.float32)
        x[1] *= -1
        weights = np.full((depth, width), 0.37, np.float32)
        weights[:, 1::2] *= -1
        for limit in (1, 8191, 16383):
            [found] = runner.linear(x, [weights], kernel=kernel, limit=limit)
            np.testing.assert_allclose(found, x.astype(np.float64) @ weights, rtol=2e-3)


@pytest.mark.parametrize("kernel", kernels())
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_becomes_nan_and_no_other_does(
    runner: Operators, kernel: str, value: float
) -> None:
    x, weights = numbers(1, 9, 500), [numbers(2, 500, 40), numbers(3, 40, 500)]
    clean = runner.feed_forward(x, weights, activation=1, kernel=kernel)
    for column in (0, 399, 499):
        spoilt = x.copy()
        spoilt[4, column] = value
        found = runner.feed_forward(spoilt, weights, activation=1, kernel=kernel)
        assert np.isnan(found[4]).all()
        assert digest([np.delete(found, 4, 0)]) == digest([np.delete(clean, 4, 0)])
        [product] = runner.linear(spoilt, weights[:1], kernel=kernel)
        assert np.isnan(product[4]).all()
        assert np.isfinite(np.delete(product, 4, 0)).all()


@pytest.mark.parametrize("kernel", kernels())
def test_any_values_and_shapes_have_the_bits_of_the_plain_kernel(
    runner: Operators, kernel: str
) -> None:
    random = np.random.default_rng(11)
    for _ in range(40):
        rows, depth, width = (int(random.integers(*ends)) for ends in ((0, 30), (1, 450), (1, 450)))
        x = numbers(int(random.integers(99)), rows, depth)
        x *= np.float32(10) ** random.integers(-44, 38, (rows, 1)).astype(np.float32)
        weights = numbers(int(random.integers(99)), depth, width)
        weights *= np.float32(10) ** random.integers(-30, 6, width).astype(np.float32)
        options: dict[str, Any] = {
            "limit": int(random.integers(1, 16384)),
            "activation": int(random.integers(4)),
        }
        plain = runner.linear(x, [weights], kernel=PLAIN, **options)
        found = runner.linear(x, [weights], kernel=kernel, threads=3, **options)
        assert digest(found) == digest(plain), (rows, depth, width, options)


ACTIVATIONS: Mapping[int, Callable[[float], float]] = {
    1: lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
    2: lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    3: lambda x: x / (1 + math.exp(-x)),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_close_to_the_functions(runner: Operators, activation: int) -> None:
    """A row of one entry is rounded to 8191 and back, so that nothing else is lost."""
    x = np.linspace(-30, 30, 2001, dtype=np.float32)[:, np.newaxis]
    [found] = runner.linear(x, [np.ones((1, 1), np.float32)], activation=activation)
    wanted = np.array([ACTIVATIONS[activation](float(one)) for one in x[:, 0]])
    assert (np.abs(found[:, 0] - wanted) <= 1e-6 * np.maximum(1, np.abs(x[:, 0]))).all()
