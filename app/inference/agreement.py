"""Agreement: how closely answers match the original model's, and how closely they have to.

Vectors are compared by their cosine, logits one by one, since a single logit has no direction.
Needs NumPy only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from app.inference.manifest import LOGITS, PER_TOKEN_OUTPUTS, TASK_OUTPUTS, Dtype, Task
from app.inference.postprocess import scores

NEIGHBOURS = 10

# What each precision may show over the probes, else the model is not served: of vectors the worst
# cosine to the reference, of logits the largest error. bfloat16 keeps 8 bits of a mantissa; with
# sound kernels the worst cosines seen were above 0.9998, and a logit was off by 0.18. What int8
# costs differs from model to model: of sound ones 0.990 was seen, and a logit was off by 0.24.
# float16 keeps 11 bits of a mantissa.
WORST_COSINE: Mapping[Dtype, float] = MappingProxyType(
    {"float32": 0.99999, "bfloat16": 0.999, "float16": 0.999, "int8": 0.95}
)
# The worst of thousands of tokens, none of which is averaged out.
WORST_TOKEN_COSINE: Mapping[Dtype, float] = MappingProxyType({"int8": 0.8})
LARGEST_LOGIT_ERROR: Mapping[Dtype, float] = MappingProxyType(
    {"float32": 1e-4, "bfloat16": 0.5, "float16": 0.1, "int8": 1.0}
)
# A lossy graph has to come as close as was certified, wherever it runs: its error may be this many
# times as large. Other processors round a sum differently, which moves few values to a neighbour;
# kernels that saturate are off by far more.
CERTIFIED_ERRORS = 1.5

# What bfloat16 and float16 must show to be taken without being asked for.
AUTO_WORST_COSINE = 0.9995
AUTO_FIRST_PERCENTILE = 0.9999
AUTO_NEIGHBOUR_OVERLAP = 0.97

# Closer than bfloat16 comes: what claims to compute in it, and is this close, computes in float32.
EXACT_ERROR = 1e-6


class Measured(Protocol):
    """How closely answers match the reference: an Agreement, or a Certificate made from one."""

    @property
    def worst_cosine(self) -> float: ...
    @property
    def mean_cosine(self) -> float: ...
    @property
    def largest_error(self) -> float: ...
    @property
    def batch_cosine(self) -> float | None: ...
    @property
    def largest_score_error(self) -> float | None: ...
    @property
    def first_percentile(self) -> float | None: ...
    @property
    def neighbour_overlap(self) -> float | None: ...
    @property
    def token_cosine(self) -> float | None: ...
    @property
    def lexical_cosine(self) -> float | None: ...
    @property
    def lexical_error(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Agreement:
    """How closely computed answers match the reference, over all probes."""

    worst_cosine: float
    mean_cosine: float
    largest_error: float  # of any component of the unit vectors, or of any logit
    batch_cosine: float  # worst, of the same input alone and in a batch
    first_percentile: float | None = None  # of the cosines; of vectors, as is the next
    neighbour_overlap: float | None = None  # share of each probe's ten nearest that stay the same
    largest_score_error: float | None = None  # of logits, once they are scores
    # Of models that yield more than one vector for a whole input.
    token_cosine: float | None = None  # worst, of a token's vector
    lexical_cosine: float | None = None  # of the lexical weights of all probes, as one vector
    lexical_error: float | None = None  # largest, of a lexical weight


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a session yields for P probes, in batches; and for some of them alone."""

    batched: NDArray[np.float32]  # (P, D)
    alone: NDArray[np.float32]  # (A, D)
    places: Sequence[int]  # (A,), of the probes that ran alone


def is_proved(task: Task, compute_dtype: Dtype, measured: Measured) -> bool:
    """Whether a model of this kind, computed in this precision, is close enough to its original."""
    if yields_logits(task):
        return measured.largest_error <= LARGEST_LOGIT_ERROR[compute_dtype]
    if not measured.worst_cosine >= _worst_cosine(task, compute_dtype):
        return False
    cosines = (measured.token_cosine, measured.lexical_cosine)
    if any(one is not None and not one >= _of_tokens(compute_dtype) for one in cosines):
        return False
    error = measured.lexical_error  # a weight is a number of its own, as a logit is
    return error is None or error <= LARGEST_LOGIT_ERROR[compute_dtype]


def figure(task: Task, measured: Measured) -> str:
    """The values that `is_proved` judges, in words."""
    if yields_logits(task):
        return f"largest error {measured.largest_error:.1e} of a logit"
    words = f"worst cosine {measured.worst_cosine:.7f}"
    if measured.token_cosine is not None:
        words += f", of a token's vector {measured.token_cosine:.7f}"
    if measured.lexical_cosine is not None:
        words += f", of the lexical weights {measured.lexical_cosine:.7f}"
    if measured.lexical_error is not None:
        words += f", largest error {measured.lexical_error:.1e} of one"
    return words


def bound(task: Task, compute_dtype: Dtype, measured: Measured) -> str:
    """What `is_proved` asks for, in words that follow `needed`."""
    error = f"at most {LARGEST_LOGIT_ERROR[compute_dtype]:.0e}"
    if yields_logits(task):
        return error
    words = f"at least {_worst_cosine(task, compute_dtype)}"
    return words if measured.lexical_error is None else f"{words}, with an error of {error}"


def cost(task: Task, measured: Measured) -> str:
    """What a precision costs a model, in words: every figure that was measured."""
    asked: tuple[tuple[str, float | None, str], ...]
    if yields_logits(task):
        asked = (
            ("largest error of a logit", measured.largest_error, ".2g"),
            ("of a score", measured.largest_score_error, ".2g"),
        )
    else:
        asked = (
            ("worst cosine", measured.worst_cosine, ".5f"),
            ("first percentile", measured.first_percentile, ".5f"),
            ("mean", measured.mean_cosine, ".5f"),
            ("overlap of nearest neighbours", measured.neighbour_overlap, ".4f"),
            ("worst of a token's vector", measured.token_cosine, ".5f"),
            ("of the lexical weights", measured.lexical_cosine, ".5f"),
        )
    every = (*asked, ("alone and in a batch", measured.batch_cosine, ".7f"))
    return ", ".join(f"{name} {value:{form}}" for name, value, form in every if value is not None)


def is_as_certified(task: Task, measured: Measured, certified: Measured) -> bool:
    """Whether a lossy graph comes about as close as where it was certified, over more probes."""
    if yields_logits(task):
        return measured.largest_error <= CERTIFIED_ERRORS * certified.largest_error
    cosines = (
        (measured.worst_cosine, certified.worst_cosine),
        (measured.token_cosine, certified.token_cosine),
        (measured.lexical_cosine, certified.lexical_cosine),
    )
    return all(
        found is None or known is None or 1 - found <= CERTIFIED_ERRORS * (1 - known)
        for found, known in cosines
    )


def _worst_cosine(task: Task, compute_dtype: Dtype) -> float:
    if TASK_OUTPUTS[task] in PER_TOKEN_OUTPUTS:
        return _of_tokens(compute_dtype)
    return WORST_COSINE[compute_dtype]


def _of_tokens(compute_dtype: Dtype) -> float:
    return WORST_TOKEN_COSINE.get(compute_dtype, WORST_COSINE[compute_dtype])


def shortfall(measured: Measured) -> str | None:
    """What keeps a lower precision from being taken unasked, in words; None where nothing does."""
    asked = [
        ("worst cosine", measured.worst_cosine, AUTO_WORST_COSINE),
        ("first percentile of the cosines", measured.first_percentile, AUTO_FIRST_PERCENTILE),
        ("overlap of nearest neighbours", measured.neighbour_overlap, AUTO_NEIGHBOUR_OVERLAP),
    ]
    # Not every model has these.
    asked += [
        (f"cosine of {what}", value, AUTO_WORST_COSINE)
        for what, value in (
            ("a token's vector", measured.token_cosine),
            ("the lexical weights", measured.lexical_cosine),
        )
        if value is not None
    ]
    for name, value, least in asked:
        if value is None:
            return f"the {name} was not measured"
        if not value >= least:
            return f"the {name} is {value:.5f}, needed at least {least}"
    return None


def yields_logits(task: Task) -> bool:
    """Whether a kind of model answers with logits, not with vectors."""
    return TASK_OUTPUTS[task] == LOGITS


def compare_vectors(reference: NDArray[np.float32], answers: Answers) -> Agreement:
    """Agreement with (P, D) reference vectors, row by row, computed in float64.

    Two vectors of zeros agree: a sparse one may well be empty.
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
        neighbour_overlap=_neighbour_overlap(reference, answers.batched),
    )


def compare_logits(reference: NDArray[np.float32], answers: Answers) -> Agreement:
    """Agreement with (P, L) reference logits, computed in float64.

    The cosines are those of one long vector, which holds the logits of all probes.
    """
    _check_shapes(reference, answers)
    expected = np.concatenate([reference, reference[answers.places]])
    actual = np.concatenate([answers.batched, answers.alone])
    cosine, _ = _compare_row(expected.ravel(), actual.ravel())
    together, _ = _compare_row(answers.batched[answers.places].ravel(), answers.alone.ravel())
    finite = bool(np.isfinite(actual).all())
    return Agreement(
        worst_cosine=cosine,
        mean_cosine=cosine,
        largest_error=_largest_difference(expected, actual),
        batch_cosine=together,
        largest_score_error=(
            _largest_difference(scores(expected, raw=False), scores(actual, raw=False))
            if finite
            else float("inf")
        ),
    )


def _check_shapes(reference: NDArray[np.float32], answers: Answers) -> None:
    if reference.shape != answers.batched.shape:
        raise ValueError(
            f"the answers have the shape {answers.batched.shape}, the reference {reference.shape}"
        )


def _neighbour_overlap(reference: NDArray[np.float32], actual: NDArray[np.float32]) -> float:
    """How much of each row's nearest other rows is the same in both; mean over the rows."""
    count = min(NEIGHBOURS, len(reference) - 1)
    if count < 1:
        return 1.0
    expected, found = _nearest(reference, count), _nearest(actual, count)
    shared = [np.intersect1d(left, right).size for left, right in zip(expected, found, strict=True)]
    return float(np.mean(shared)) / count


def _nearest(vectors: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The places of the `count` rows that are nearest to each row, itself left out: (P, count)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.where(lengths == 0, 1, lengths)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    places: NDArray[np.int64] = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
    return places


def _compare_row(left: NDArray[np.float32], right: NDArray[np.float32]) -> tuple[float, float]:
    """The cosine of two vectors, and the largest error of a component at length 1."""
    if not left.any() and not right.any():
        return 1.0, 0.0
    one, other = _unit(left), _unit(right)
    return float(one @ other), float(np.abs(one - other).max())


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = vector.astype(np.float64)
    with np.errstate(invalid="ignore"):  # an infinite one becomes NaN, which agrees with nothing
        unit: NDArray[np.float64] = wide / (np.linalg.norm(wide) or 1.0)
    return unit


def _largest_difference(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float(np.abs(left.astype(np.float64) - right).max())
