"""int8 scales: how closely integers represent values."""

import numpy as np

from export.precision.int8 import scaled, smoothing

RANDOM = np.random.default_rng(5)


def test_each_line_is_rounded_by_its_own_largest_value() -> None:
    weights = RANDOM.normal(size=(40, 6)).astype(np.float32) * [1, 10, 100, 1e-3, 1, 0]
    integers, scales = scaled(weights.astype(np.float32), axis=0)
    assert integers.dtype == np.dtype(np.int8)
    assert scales.shape == (1, 6)
    np.testing.assert_array_equal(np.abs(integers).max(axis=0), [127, 127, 127, 127, 127, 0])
    assert (np.abs(integers * scales - weights) <= scales / 2 * 1.0001).all()


def test_smoothing_makes_inputs_and_weights_as_uneven() -> None:
    inputs = np.array([64, 1, 4, 0, 2], np.float32)
    weights = [
        np.array([[1], [-1], [0.5], [3], [0]], np.float32),
        np.full((5, 2), 0.25, np.float32),
    ]
    weights[1][4] = 0
    factors = smoothing(inputs, weights)
    np.testing.assert_allclose(factors, [8, 1, np.sqrt(8), 1, 1])
    largest = np.maximum(*(np.abs(one).max(axis=1) for one in weights))
    np.testing.assert_allclose((inputs / factors)[:3], (largest * factors)[:3], rtol=1e-6)
