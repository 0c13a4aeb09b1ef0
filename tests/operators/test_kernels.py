"""All kernels give the same bits, alone and in a batch, on one thread and on several."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest

from tests.support.operators import PLAIN, Floats, Operators, digest, kernels

THREADS = (1, 2, 5)
ROWS = (1, 2, 5, 6, 7, 12, 13, 16, 25, 97, 150)
# Depth and width: below, at and above what a block, a panel and a pair hold.
SHAPES = ((1, 1), (2, 16), (30, 7), (33, 33), (384, 32), (385, 17), (800, 48))
FAST = [name for name in kernels() if name != PLAIN]


def numbers(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_the_plain_kernel_computes_what_is_written(runner: Operators) -> None:
    """Bit for bit as in docs/int16.md: rounding, exact sums, and the order of everything else."""
    depth, width, block = 800, 45, 288  # ceil(800 / 384) = 3 blocks, of 267 rounded up to 32
    x, weights, bias = numbers(1, 5, depth), numbers(2, depth, width), numbers(3, width)
    wanted = np.zeros((5, width), np.float32)
    for start in range(0, depth, block):
        rows, part = x[:, start : start + block], weights[start : start + block].astype(np.float64)
        reach = np.abs(rows).max(axis=1, keepdims=True)
        factor = np.float32(8191) / reach
        rounded = np.rint(rows.astype(np.float64) * factor).astype(np.int64)
        total = np.add.accumulate(np.abs(part))[-1]
        most = (2**31 - 1) / 8191 - len(part)
        columns = np.minimum(most / total, 32767 / np.abs(part).max(axis=0))
        sums = rounded @ np.rint(part * columns).astype(np.int64)
        assert np.abs(rounded).max() * np.abs(np.rint(part * columns)).sum(axis=0).max() < 2**31
        scale = (reach / np.float32(8191)) * (1 / columns).astype(np.float32)
        wanted = sums.astype(np.float32) * scale + (wanted if start else bias)
    [found] = runner.products(x, [weights], [bias], kernel=PLAIN)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize(("depth", "width"), SHAPES)
def test_products_have_the_bits_of_the_plain_kernel(
    runner: Operators, kernel: str, depth: int, width: int
) -> None:
    weights = [numbers(i, depth, width + i) for i in range(3)]
    biases = [numbers(9 + i, width + i) for i in range(3)]
    for rows in ROWS:
        x = numbers(rows, rows, depth)
        wanted = digest(runner.products(x, weights, biases, kernel=PLAIN))
        for threads in THREADS:
            found = runner.products(x, weights, biases, kernel=kernel, threads=threads)
            assert digest(found) == wanted, (rows, threads)


# The activation, and how often the middle is computed: once, for a gate, or as two halves.
LAYERS = {"gelu": (1, 1), "tanh": (2, 2), "silu": (3, 0)}


@pytest.mark.parametrize("kernel", FAST)
@pytest.mark.parametrize(("depth", "middle"), [(16, 64), (40, 37), (96, 401)])
@pytest.mark.parametrize("layer", LAYERS)
def test_feed_forward_layers_have_the_bits_of_the_plain_kernel(
    runner: Operators, kernel: str, layer: str, depth: int, middle: int
) -> None:
    activation, ups = LAYERS[layer]
    every = [numbers(i, depth, middle) for i in range(ups)]
    if not ups:
        every = [numbers(1, depth, 2 * middle)] * 2
    weights = [*every, numbers(5, middle, depth)]
    biases = [numbers(7, one.shape[1]) for one in weights]
    options = {"activation": activation, "halves": int(not ups)}
    for rows in ROWS:
        x = numbers(rows, rows, depth)
        plain = runner.feed_forward(x, weights, biases, kernel=PLAIN, **options)
        for threads in THREADS:
            how = {"kernel": kernel, "threads": threads, **options}
            found = runner.feed_forward(x, weights, biases, **how)
            assert digest([found]) == digest([plain]), (rows, threads)


def test_halves_are_what_two_weights_would_be(runner: Operators) -> None:
    x, both, down = numbers(1, 9, 48), numbers(2, 48, 80), numbers(3, 40, 48)
    halves = [np.ascontiguousarray(half) for half in np.split(both, 2, axis=1)]
    found = runner.feed_forward(x, [both, both, down], halves=1, activation=3)
    assert digest([found]) == digest([runner.feed_forward(x, [*halves, down], activation=3)])


@pytest.mark.parametrize("kernel", kernels())
def test_a_row_has_the_same_bits_alone_and_among_others(runner: Operators, kernel: str) -> None:
    x, weights = numbers(1, 3, 41, 96), [numbers(2, 96, 200), numbers(3, 200, 96)]
    layer = runner.feed_forward(x, weights, activation=1, kernel=kernel, threads=2)
    [product] = runner.products(x, weights[:1], kernel=kernel, threads=2)
    for place in ((0, 0), (1, 17), (2, 40)):
        alone = np.ascontiguousarray(x[place][np.newaxis])
        assert digest([runner.feed_forward(alone, weights, activation=1)]) == digest([layer[place]])
        assert digest(runner.products(alone, weights[:1])) == digest([product[place]])


@pytest.mark.parametrize("kernel", kernels())
def test_sums_at_the_bound_do_not_overflow(runner: Operators, kernel: str) -> None:
    """Rows and weights at their largest, all of one sign: the sum nearest to 2^31."""
    for depth, width in ((1, 16), (2, 17), (384, 32), (700, 5)):
        x = np.full((7, depth), 3.0, np.float32)
        x[1] *= -1
        weights = np.full((depth, width), 0.37, np.float32)
        weights[:, 1::2] *= -1
        [found] = runner.products(x, [weights], kernel=kernel)
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
        [product] = runner.products(spoilt, weights[:1], kernel=kernel)
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
        plain = runner.products(x, [weights], kernel=PLAIN)
        found = runner.products(x, [weights], kernel=kernel, threads=3)
        assert digest(found) == digest(plain), (rows, depth, width)


ACTIVATIONS: Mapping[int, Callable[[float], float]] = {
    1: lambda x: 0.5 * x * (1 + math.erf(x / math.sqrt(2))),
    2: lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    3: lambda x: x / (1 + math.exp(-x)),
}


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_close_to_the_functions(runner: Operators, activation: int) -> None:
    """A row of one entry is rounded to 8191 and back, so that nothing else is lost."""
    x = np.linspace(-30, 30, 2001, dtype=np.float32)[:, np.newaxis]
    one = np.ones((1, 1), np.float32)
    found = runner.feed_forward(x, [one, one], activation=activation)
    wanted = np.array([ACTIVATIONS[activation](float(one)) for one in x[:, 0]])
    assert (np.abs(found[:, 0] - wanted) <= 1e-6 * np.maximum(1, np.abs(x[:, 0]))).all()
