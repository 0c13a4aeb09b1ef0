import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers.util.quantization import quantize_embeddings

from app.errors import ModelMismatch, NotFinite
from app.model.names import OutputDtype
from app.model.parts import Ranges
from app.model.quantization import bounds, quantized, ranges_of

RANGES = Ranges((1, 2, 4, 8, 12), (1.0, 0.875, 0.75, 0.625, 0.5))
COUNTED: tuple[OutputDtype, ...] = ("int8", "uint8")
PACKED: tuple[OutputDtype, ...] = ("binary", "ubinary")


def unit(dimensions: int, rows: int = 200) -> NDArray[np.float32]:
    found = np.random.default_rng(dimensions).standard_normal((rows, dimensions))
    lengths = np.linalg.norm(found, axis=1, keepdims=True)
    return np.asarray(found / lengths, np.float32)


@pytest.mark.parametrize("dimensions", [1, 2, 3, 7, 8, 9, 12])
@pytest.mark.parametrize("dtype", [*COUNTED, *PACKED])
def test_values_are_those_of_sentence_transformers(dtype: OutputDtype, dimensions: int) -> None:
    vectors = unit(dimensions)
    found = quantized(vectors, dtype, RANGES)
    expected = quantize_embeddings(vectors, dtype, ranges=bounds(RANGES, dimensions))
    assert found.dtype == expected.dtype
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("dtype", COUNTED)
def test_random_floats_fall_into_the_same_steps(dtype: OutputDtype) -> None:
    values = np.random.default_rng(0).uniform(-0.6, 0.6, (20_000, 12)).astype(np.float32)
    expected = quantize_embeddings(values, dtype, ranges=bounds(RANGES, 12))
    assert np.array_equal(quantized(values, dtype, RANGES), expected)


def test_int8_is_the_nearest_multiple_of_one_step() -> None:
    ranges = Ranges((1, 4), (1.0, 0.127))
    values = np.array([[0.0, 0.001, -0.001, 0.127], [-0.127, 0.0104, 0.0106, -0.0104]], np.float32)
    assert quantized(values, "int8", ranges).tolist() == [[0, 1, -1, 127], [-127, 10, 11, -10]]
    assert quantized(values, "uint8", ranges).tolist() == [[128, 129, 127, 255], [1, 138, 139, 118]]


def test_values_beyond_the_largest_become_the_last_step() -> None:
    values = np.array([[0.9, -0.9, 1e30, -1e30]], np.float32)
    ranges = Ranges((1, 4), (1.0, 0.127))
    assert quantized(values, "int8", ranges).tolist() == [[127, -128, 127, -128]]
    assert quantized(values, "uint8", ranges).tolist() == [[255, 0, 255, 0]]


@pytest.mark.parametrize(
    ("dimensions", "largest"), [(1, 1.0), (2, 0.875), (3, 0.875), (7, 0.75), (11, 0.625), (12, 0.5)]
)
def test_vectors_that_were_cut_have_ranges_of_their_own(dimensions: int, largest: float) -> None:
    assert RANGES.largest_of(dimensions) == largest
    values = np.full((1, dimensions), largest, np.float32)
    assert quantized(values, "int8", RANGES).tolist() == [[127] * dimensions]


def test_ranges_hold_the_largest_component_of_vectors_of_each_width() -> None:
    vectors = np.array([[3, 4, 0, 0, 0], [0, 0, 0, -2, 0], [0, 3, 0, 4, 12]], np.float32)
    found = ranges_of(vectors)
    assert found.sizes == (1, 2, 4, 5)
    assert found.largest == (1.0, 1.0, 1.0, 1.0)
    assert ranges_of(vectors[:1]).largest == (1.0, 1.0, 1.0, 1.0)  # 1.25 times 0.8
    wide = np.array([[1, -2, 2, 0, 0, 0], [4, 4, 4, 4, 4, -6]], np.float32)
    assert ranges_of(wide).sizes == (1, 2, 4, 6)
    assert ranges_of(wide).largest == (1.0, 1.0, 0.8333, 0.8333)
    assert ranges_of(wide[1:]).largest == (1.0, 0.8839, 0.625, 0.6964)


def test_no_vector_that_ranges_were_taken_from_is_clipped() -> None:
    vectors = unit(300)
    ranges = ranges_of(vectors)
    assert ranges.fault(300) is None
    for width in (1, 2, 3, 5, 8, 100, 256, 299, 300):
        cut = vectors[:, :width] / np.linalg.norm(vectors[:, :width], axis=1, keepdims=True)
        assert np.abs(cut).max() <= ranges.largest_of(width)
        assert quantized(cut, "int8", ranges).min() >= -127
    assert np.abs(quantized(vectors, "int8", ranges).astype(int)).max() == 102  # 127 / 1.25


def test_ranges_of_a_single_vector_and_a_single_dimension_are_its_own() -> None:
    assert ranges_of(np.array([[-7.0]], np.float32)) == Ranges((1,), (1.0,))


def test_bits_are_1_for_positive_components_the_first_in_the_highest_place() -> None:
    row = [1.0, 0.0, -0.0, -1.0, 1e-30, -1e-30, 0.5, -0.5, 0.25, -0.25]
    values = np.array([row], np.float32)
    assert quantized(values, "ubinary", None).tolist() == [[0b10001010, 0b10000000]]
    assert quantized(values, "binary", None).tolist() == [[0b10001010 - 128, 0]]


def test_halves_are_rounded_and_floats_are_left_alone() -> None:
    values = unit(12)
    assert quantized(values, "float", None) is values
    halves = quantized(values, "float16", None)
    assert halves.dtype == np.float16
    assert np.array_equal(halves, values.astype(np.float16))


def test_a_value_that_float16_cannot_hold_is_refused_by_its_place() -> None:
    values = np.array([[1.0, 65504.0], [1.0, -70000.0]], np.float32)
    assert quantized(values[:1], "float16", None).tolist() == [[1.0, 65504.0]]
    with pytest.raises(NotFinite, match="of input 6 holds values too large for float16"):
        quantized(values, "float16", None, first=5)


@pytest.mark.parametrize("dtype", COUNTED)
def test_int8_is_refused_without_ranges(dtype: OutputDtype) -> None:
    with pytest.raises(ModelMismatch, match=f"`{dtype}` vectors are not available.*export it ag"):
        quantized(unit(4), dtype, None)


@pytest.mark.parametrize("dtype", [*COUNTED, *PACKED, "float", "float16"])
def test_an_empty_array_stays_empty(dtype: OutputDtype) -> None:
    width = 2 if dtype in PACKED else 12
    assert quantized(np.empty((0, 12), np.float32), dtype, RANGES).shape == (0, width)
