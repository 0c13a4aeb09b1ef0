"""Output types: what they cost a model's vectors, and whether those come out as at the export.

Needs NumPy only.
"""

import base64
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from app.model.manifest import FILE_NAME, Manifest
from app.model.names import OutputDtype
from app.model.parts import OutputCost, Ranges
from app.model.quantization import Quantized, quantized
from app.model.vectors import finish
from app.proof.compare import neighbour_overlap
from app.proof.probes import Probes, ProbesError

# The types that are measured, and by how many steps a number may differ from the sample. Where a
# sum is rounded in another way, a length differs in its last digit; that changes no sign.
_SLACK: Mapping[OutputDtype, int] = MappingProxyType({"float16": 1, "int8": 1, "binary": 0})


def with_length(vectors: NDArray[np.float32]) -> list[int]:
    """Return the places of the vectors (N, D) that have a direction; a static model has others."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    return [int(place) for place in np.flatnonzero((lengths > 0) & np.isfinite(lengths))]


def costs(
    vectors: NDArray[np.float32], compared: Sequence[int], ranges: Ranges
) -> tuple[OutputCost, ...]:
    """Measure each type over (N, D) vectors at these places; the sample is of the first of all.

    They are compared by their cosine, and those of bits by how many differ. All have a length.
    """
    floats = _unit(vectors)
    known = floats[compared]
    found = []
    for dtype in _SLACK:
        every = quantized(floats, dtype, ranges)
        numbers = _numbers(every[compared], dtype, floats.shape[1])
        found.append(
            OutputCost(
                dtype=dtype,
                texts=len(known),
                neighbour_overlap=round(neighbour_overlap(known, numbers), 4),
                rank_correlation=round(_rank_correlation(known, numbers), 5),
                sample=base64.b64encode(_little_endian(every[0])).decode(),
            )
        )
    return tuple(found)


def require_samples(manifest: Manifest, probes: Probes) -> None:
    """Quantize the first probe's vector that has a length into each type that has a sample.

    Raises: ProbesError if one is not as it was when the model was exported.
    """
    if not manifest.output_types:
        return
    if manifest.ranges is None:
        raise ProbesError(f"{FILE_NAME}: output_types: there are no ranges for them")
    unit = _unit(probes.vectors[with_length(probes.vectors)[:1]])
    for one in manifest.output_types:
        if not _is_like(_little_endian(quantized(unit, one.dtype, manifest.ranges)), one):
            raise ProbesError(
                f"{FILE_NAME}: output_types: a vector in {one.dtype} does not come out as it did "
                "when the model was exported: export it again"
            )


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return finish(vectors, normalize=True, dimensions=None)


def _is_like(found: bytes, known: OutputCost) -> bool:
    try:
        sample = base64.b64decode(known.sample, validate=True)
    except ValueError:
        return False
    if not found or len(found) != len(sample):
        return False
    steps = "<i2" if known.dtype == "float16" else "i1"  # halves in order, but for their sign
    left, right = (np.frombuffer(one, steps).astype(np.int64) for one in (found, sample))
    return int(np.abs(left - right).max()) <= _SLACK.get(known.dtype, 0)


def _little_endian(vector: Quantized) -> bytes:
    return vector.astype(vector.dtype.newbyteorder("<")).tobytes()


def _numbers(vectors: Quantized, dtype: OutputDtype, dimensions: int) -> NDArray[np.float32]:
    """Return quantized vectors as they are compared: bits are -1 and 1."""
    if dtype != "binary":
        return vectors.astype(np.float32)
    packed = np.asarray(vectors.view(np.uint8) ^ 0x80, np.uint8)
    bits = np.unpackbits(packed, axis=1, count=dimensions)
    return 2 * bits.astype(np.float32) - 1


def _rank_correlation(reference: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Return Spearman's correlation of the cosines of all pairs; 1 if all of them are the same."""
    pairs = np.triu_indices(len(reference), 1)
    left, right = (_ranks(_cosines(one)[pairs]) for one in (reference, actual))
    deviations = left - left.mean(), right - right.mean()
    scale = np.sqrt((deviations[0] ** 2).sum() * (deviations[1] ** 2).sum())
    return float((deviations[0] * deviations[1]).sum() / scale) if scale else 1.0


def _cosines(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of each pair, (N, N); the same if it is, however its sum was rounded."""
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1)
    lengths[lengths == 0] = 1  # of an int8 vector, if one could round to nothing
    found: NDArray[np.float64] = np.round(wide @ wide.T / np.outer(lengths, lengths), 12)
    return found


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each value's place in ascending order; equals share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    found: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[places]
    return found
