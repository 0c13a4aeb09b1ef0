"""Output types: the cost of fewer bytes, and samples that must be reproduced."""

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.model.manifest import PROBES_FILE, Manifest
from app.model.parts import OutputCost, Ranges
from app.model.quantization import quantized, ranges_of
from app.model.vectors import finish
from app.proof.output_types import costs, require_samples, with_length
from app.proof.probes import Probes, ProbesError
from tools import tiny


def vectors(count: int, dimensions: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32)


def ranks(values: NDArray[np.float32]) -> list[float]:
    """Return each value's rank in ascending order; equal values share the middle of their ranks."""
    return [float((values < one).sum() + (values <= one).sum()) / 2 for one in values]


def decoded(one: OutputCost, dtype: str) -> list[float]:
    found: list[float] = np.frombuffer(base64.b64decode(one.sample), dtype).tolist()
    return found


def test_each_type_costs_more_the_fewer_bits_it_has() -> None:
    every = vectors(200, 24)
    halves, bytes_, bits = costs(every, range(50, 200), ranges_of(every))
    assert [one.dtype for one in (halves, bytes_, bits)] == ["float16", "int8", "binary"]
    assert {one.texts for one in (halves, bytes_, bits)} == {150}
    assert 1 >= halves.neighbour_overlap > bytes_.neighbour_overlap > bits.neighbour_overlap > 0.2
    assert halves.rank_correlation > bytes_.rank_correlation > 0.999
    assert 0.9 > bits.rank_correlation > 0.5


def test_the_figures_are_those_of_plain_definitions() -> None:
    every = vectors(40, 16)
    floats = finish(every, normalize=True, dimensions=None)
    signs = np.where(floats > 0, 1, -1)
    pairs = np.triu_indices(40, 1)
    bits = costs(every, range(40), ranges_of(every))[2]
    left, right = ranks((floats @ floats.T)[pairs]), ranks((signs @ signs.T)[pairs])
    expected = np.corrcoef(left, right)[0, 1]
    assert bits.rank_correlation == pytest.approx(expected, abs=1e-5)
    int8 = quantized(floats, "int8", ranges_of(every)).astype(np.float64)
    int8 /= np.linalg.norm(int8, axis=1, keepdims=True)
    near = [np.argsort(-(one @ one.T), axis=1)[:, 1:11] for one in (floats, int8)]
    shared = [len(set(a) & set(b)) for a, b in zip(*near, strict=True)]
    found = costs(every, range(40), ranges_of(every))[1]
    assert found.neighbour_overlap == pytest.approx(np.mean(shared) / 10, abs=1e-4)


def test_a_sample_is_the_first_vector_whichever_are_compared() -> None:
    every = np.array([[3, 4, -12], [1, 2, 2], [1, 0, 0]], np.float32)
    halves, bytes_, bits = costs(every, [1, 2], Ranges((1, 2, 3), (1.0, 1.0, 12 / 13)))
    assert decoded(bytes_, "i1") == [32, 42, -127]
    assert decoded(halves, "<f2") == pytest.approx([3 / 13, 4 / 13, -12 / 13], abs=1e-3)
    assert decoded(bits, "i1") == [0b11000000 - 128]


def test_texts_that_are_all_alike_lose_nothing() -> None:
    every = np.ones((3, 4), np.float32)
    for one in costs(every, range(3), ranges_of(every)):
        assert (one.neighbour_overlap, one.rank_correlation) == (1, 1)


def test_vectors_without_a_direction_are_found() -> None:
    every = np.array([[0, 0], [1, 0], [np.nan, 1], [np.inf, 1], [0, 1e-30]], np.float32)
    assert with_length(every) == [1, 4]


@pytest.fixture
def known(tmp_path: Path) -> tuple[Manifest, Probes]:
    """A model that has samples, with probes whose first is zero."""
    manifest = tiny.build(tmp_path)
    probes = Probes.read(tmp_path / PROBES_FILE)
    probes.vectors[0] = 0
    assert manifest.ranges is not None
    found = costs(probes.vectors[1:], range(6), manifest.ranges)
    return replace(manifest, output_types=found), probes


def test_samples_come_out_as_they_were(known: tuple[Manifest, Probes]) -> None:
    manifest, probes = known
    require_samples(manifest, probes)
    require_samples(replace(manifest, ranges=None, output_types=()), probes)  # an older folder


def test_a_length_may_be_rounded_in_another_way(known: tuple[Manifest, Probes]) -> None:
    manifest, probes = known
    probes.vectors[1] *= 1 + 2e-7
    require_samples(manifest, probes)


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("damage", ["value", "sign", "length", "text", "empty"])
def test_a_vector_that_comes_out_otherwise_is_refused(
    known: tuple[Manifest, Probes], place: int, damage: str
) -> None:
    manifest, probes = known
    one = manifest.output_types[place]
    content = bytearray(base64.b64decode(one.sample))
    content[-1] ^= {"value": 0x04, "sign": 0x80}.get(damage, 0)
    samples = {"length": base64.b64encode(content[:-2]).decode(), "text": "ä?", "empty": ""}
    changed = replace(one, sample=samples.get(damage, base64.b64encode(content).decode()))
    with pytest.raises(ProbesError, match=rf"a vector in {one.dtype} does not come out as it did"):
        require_samples(replace(manifest, output_types=(changed,)), probes)


def test_other_ranges_than_those_of_the_export_are_refused(known: tuple[Manifest, Probes]) -> None:
    manifest, probes = known
    assert manifest.ranges is not None
    largest = tuple(0.9 * value for value in manifest.ranges.largest)
    other = replace(manifest, ranges=replace(manifest.ranges, largest=largest))
    with pytest.raises(ProbesError, match=r"manifest\.json: output_types: a vector in int8 does"):
        require_samples(other, probes)
    with pytest.raises(ProbesError, match="there are no ranges for them"):
        require_samples(replace(manifest, ranges=None), probes)
