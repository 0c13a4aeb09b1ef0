"""Comparison: a session's answers for the probes, compared with the original model's.

Vectors are compared by their cosine, and logits one by one, since a single logit has no direction.
Needs NumPy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.model.names import Activation, usual_activation
from app.model.vectors import scores
from app.proof.bounds import Agreement

NEIGHBOURS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """A session's answers for P probes in batches, and for some of them alone."""

    batched: NDArray[np.float32]  # (P, D)
    alone: NDArray[np.float32]  # (A, D)
    places: Sequence[int]  # (A,), of the probes that ran alone


def compare_vectors(reference: NDArray[np.float32], answers: Answers) -> Agreement:
    """Compare with (P, D) reference vectors, row by row, in float64.

    Two zero vectors agree, since a sparse vector may be empty.
    """
    _check_shapes(reference, answers)
    alone = list(zip(answers.places, answers.alone, strict=True))
    # One row at a time, since a sparse vector is as wide as the vocabulary.
    rows = [_compare_row(*pair) for pair in zip(reference, answers.batched, strict=True)]
    rows += [_compare_row(reference[place], vector) for place, vector in alone]
    together = [_compare_row(answers.batched[place], vector)[0] for place, vector in alone]
    cosines, errors = np.array(rows).T
    cosines = np.nan_to_num(cosines, nan=-1.0)
    return Agreement(
        worst_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
        largest_error=float(errors.max()),
        batch_cosine=float(np.nan_to_num(together, nan=-1.0).min()),
        first_percentile=float(np.percentile(cosines, 1)),
        neighbour_overlap=neighbour_overlap(reference, answers.batched),
    )


def length_error(reference: NDArray[np.float32], answers: Answers) -> float:
    """Return the largest error of a vector's length, as a share of its (P, D) reference's."""
    every = (reference, answers.batched, answers.alone)
    known, batched, alone = (np.linalg.norm(one, axis=1).astype(np.float64) for one in every)
    lengths = np.concatenate([known, known[list(answers.places)]])
    found = np.concatenate([batched, alone])
    shares = np.abs(found - lengths) / np.where(lengths == 0, 1, lengths)
    return float(np.nan_to_num(shares, nan=np.inf).max())


def compare_logits(
    reference: NDArray[np.float32], answers: Answers, activation: Activation | None = None
) -> Agreement:
    """Compare with (P, L) reference logits, in float64; None for the usual `activation`.

    The cosines are those of one long vector of the logits of all probes.
    """
    _check_shapes(reference, answers)
    expected = np.concatenate([reference, reference[answers.places]])
    actual = np.concatenate([answers.batched, answers.alone])
    cosine, _ = _compare_row(expected.ravel(), actual.ravel())
    together, _ = _compare_row(answers.batched[answers.places].ravel(), answers.alone.ravel())
    finite = bool(np.isfinite(actual).all())
    activation = activation or usual_activation(reference.shape[1])
    return Agreement(
        worst_cosine=cosine,
        mean_cosine=cosine,
        largest_error=_largest_difference(expected, actual),
        largest_logit=float(np.abs(reference).max()),
        batch_cosine=together,
        largest_score_error=(
            _largest_difference(scores(expected, activation), scores(actual, activation))
            if finite
            else float("inf")
        ),
    )


def _check_shapes(reference: NDArray[np.float32], answers: Answers) -> None:
    if reference.shape != answers.batched.shape:
        raise ValueError(
            f"the answers have the shape {answers.batched.shape}, the reference {reference.shape}"
        )


def neighbour_overlap(reference: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """Return the share of each row's nearest rows that is the same in both; mean over rows."""
    count = min(NEIGHBOURS, len(reference) - 1)
    if count < 1:
        return 1.0
    expected, found = _nearest(reference, count), _nearest(actual, count)
    shared = [np.intersect1d(left, right).size for left, right in zip(expected, found, strict=True)]
    return float(np.mean(shared)) / count


def _nearest(vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Return the places of the `count` other rows nearest to each row: (P, count)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths == 0, 1, lengths)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    places: NDArray[np.int64] = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    return places


def _compare_row(left: NDArray[np.float32], right: NDArray[np.float32]) -> tuple[float, float]:
    """Return the cosine of two vectors, and the largest error of a component at length 1."""
    if not left.any() and not right.any():
        return 1.0, 0.0
    one, other = _unit(left), _unit(right)
    return float(one @ other), float(np.abs(one - other).max())


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = vector.astype(np.float64)
    with np.errstate(invalid="ignore"):  # an infinite vector becomes NaN, which agrees with nothing
        unit: NDArray[np.float64] = wide / (np.linalg.norm(wide) or 1.0)
    return unit


def _largest_difference(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float(np.abs(left.astype(np.float64) - right).max())
