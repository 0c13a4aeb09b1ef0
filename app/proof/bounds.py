"""Bounds: how closely answers match the original model's, and how closely they have to.

Only the standard library is needed here; `compare` measures.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from app.model.names import LOGITS, PER_TOKEN_OUTPUTS, TASK_OUTPUTS, Dtype, Task

# The least cosine to the reference that each precision may show over the probes; below it the model
# is not served. bfloat16 keeps 8 bits of a mantissa; with sound kernels the worst cosines seen were
# above 0.9998. What int8 costs differs from model to model: of sound ones 0.990 was seen. float16
# keeps 11 bits of a mantissa, int16 13 of the largest value of a row.
WORST_COSINE: Mapping[Dtype, float] = MappingProxyType(
    {"float32": 0.99999, "bfloat16": 0.999, "float16": 0.999, "int16": 0.9999, "int8": 0.95}
)
# The same for token vectors: the worst of thousands, none of which is averaged out.
WORST_TOKEN_COSINE: Mapping[Dtype, float] = MappingProxyType({"int16": 0.999, "int8": 0.8})
# The largest error of a logit, as a share of the largest logit, since rounding costs more with
# larger values and more layers. Of a real reranker of 12 layers it was 1.2e-5 in float32 and 0.085
# in bfloat16. A wrong head is off by about as much as a logit is large.
LOGIT_ERROR: Mapping[Dtype, float] = MappingProxyType(
    {"float32": 1e-4, "bfloat16": 0.1, "float16": 0.02, "int16": 0.01, "int8": 0.1}
)
# If all logits are smaller, the bound is for this one: an error of it moves a score by a quarter.
LEAST_LOGIT = 1.0
LEXICAL_ERROR: Mapping[Dtype, float] = MappingProxyType(  # the largest, of a lexical weight
    {"float32": 1e-4, "bfloat16": 0.5, "float16": 0.1, "int16": 0.05, "int8": 1.0}
)
# The largest error of a sparse vector's length in float32, as a share of the length: cosines do not
# show it, and such vectors are compared by their products.
LENGTH_ERROR = 1e-4
# How many times its certified error a lossy graph may show, wherever it runs. Other processors
# round a sum differently, which moves few values to a neighbour; kernels that saturate are off by
# far more.
CERTIFIED_ERRORS = 1.5


@dataclass(frozen=True, slots=True)
class Qualifying:
    """The least that a lower precision must show over the probes to be chosen automatically."""

    worst_cosine: float
    first_percentile: float  # of the cosines
    neighbour_overlap: float


_HALVES = Qualifying(0.9995, 0.9999, 0.97)
QUALIFYING: Mapping[Dtype, Qualifying] = MappingProxyType(
    {"bfloat16": _HALVES, "float16": _HALVES, "int16": Qualifying(0.9999, 0.9999, 0.99)}
)

# bfloat16 never comes this close: a provider that does, while claiming it, computes in float32.
EXACT_ERROR = 1e-6


class Measured(Protocol):
    """A measure of closeness to the reference: an Agreement, or a Certificate made from one."""

    @property
    def worst_cosine(self) -> float: ...
    @property
    def mean_cosine(self) -> float: ...
    @property
    def largest_error(self) -> float: ...
    @property
    def largest_logit(self) -> float | None: ...
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
    @property
    def length_error(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Agreement:
    """The closeness of computed answers to the reference, over all probes."""

    worst_cosine: float
    mean_cosine: float
    largest_error: float  # of any component of the unit vectors, or of any logit
    batch_cosine: float  # worst, of the same input alone and in a batch
    first_percentile: float | None = None  # of the cosines; for vectors only, as is the next
    neighbour_overlap: float | None = None  # share of each probe's ten nearest that stay the same
    largest_score_error: float | None = None  # of logits, once they are scores
    largest_logit: float | None = None  # of the reference, in magnitude
    # For models that yield more than one vector for an input.
    token_cosine: float | None = None  # worst, of a token's vector
    lexical_cosine: float | None = None  # of the lexical weights of all probes, as one vector
    lexical_error: float | None = None  # largest, of a lexical weight
    length_error: float | None = None  # of sparse vectors, the largest as a share of a length


def worst(parts: Sequence[Agreement]) -> Agreement:
    """Return the worst of each figure, of vectors that were compared in several parts."""
    return Agreement(
        worst_cosine=min(one.worst_cosine for one in parts),
        mean_cosine=min(one.mean_cosine for one in parts),
        largest_error=max(one.largest_error for one in parts),
        batch_cosine=min(one.batch_cosine for one in parts),
        first_percentile=min(one.first_percentile or 0 for one in parts),
        neighbour_overlap=min(one.neighbour_overlap or 0 for one in parts),
        length_error=max(
            (one.length_error for one in parts if one.length_error is not None), default=None
        ),
    )


def is_proved(task: Task, compute_dtype: Dtype, measured: Measured) -> bool:
    """Check whether a model of this kind is close enough to its original in this precision."""
    if yields_logits(task):
        off = measured.largest_error
        return math.isfinite(off) and off <= _logit_error(compute_dtype, measured)
    if not measured.worst_cosine >= _worst_cosine(task, compute_dtype):
        return False
    if compute_dtype == "float32" and not (measured.length_error or 0) <= LENGTH_ERROR:
        return False
    cosines = (measured.token_cosine, measured.lexical_cosine)
    if any(one is not None and not one >= _of_tokens(compute_dtype) for one in cosines):
        return False
    error = measured.lexical_error  # a weight counts as itself, as a logit does
    return error is None or error <= LEXICAL_ERROR[compute_dtype]


def figure(task: Task, measured: Measured) -> str:
    """Return the values that `is_proved` judges, in words."""
    if yields_logits(task):
        return f"largest error {measured.largest_error:.1e} of a logit"
    words = f"worst cosine {measured.worst_cosine:.7f}"
    if measured.token_cosine is not None:
        words += f", of a token's vector {measured.token_cosine:.7f}"
    if measured.lexical_cosine is not None:
        words += f", of the lexical weights {measured.lexical_cosine:.7f}"
    if measured.lexical_error is not None:
        words += f", largest error {measured.lexical_error:.1e} of one"
    if (measured.length_error or 0) > LENGTH_ERROR:
        words += f", a length off by {measured.length_error:.1%}"
    return words


def bound_text(task: Task, compute_dtype: Dtype, measured: Measured) -> str:
    """Return what `is_proved` requires, in words that follow `needed`."""
    if yields_logits(task):
        share = f"{LOGIT_ERROR[compute_dtype]:g} of the largest logit"
        return f"at most {_logit_error(compute_dtype, measured):.1e}, {share}"
    words = f"at least {_worst_cosine(task, compute_dtype)}"
    if measured.lexical_error is None:
        return words
    return f"{words}, with an error of at most {LEXICAL_ERROR[compute_dtype]:.0e}"


def cost_text(task: Task, measured: Measured) -> str:
    """Return what a precision costs a model, in words: every figure that was measured."""
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
    """Check whether a lossy graph is about as close here as certified, over more probes."""
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


def _logit_error(compute_dtype: Dtype, measured: Measured) -> float:
    """Return how far a logit may be off, if logits are as large as these."""
    return LOGIT_ERROR[compute_dtype] * max(LEAST_LOGIT, measured.largest_logit or 0)


def _worst_cosine(task: Task, compute_dtype: Dtype) -> float:
    if TASK_OUTPUTS[task] in PER_TOKEN_OUTPUTS:
        return _of_tokens(compute_dtype)
    return WORST_COSINE[compute_dtype]


def _of_tokens(compute_dtype: Dtype) -> float:
    return WORST_TOKEN_COSINE.get(compute_dtype, WORST_COSINE[compute_dtype])


def shortfall(compute_dtype: Dtype, measured: Measured) -> str | None:
    """Say why a lower precision may not be chosen automatically, or return None if it may."""
    needed = QUALIFYING[compute_dtype]
    asked = [
        ("worst cosine", measured.worst_cosine, needed.worst_cosine),
        ("first percentile of the cosines", measured.first_percentile, needed.first_percentile),
        ("overlap of nearest neighbours", measured.neighbour_overlap, needed.neighbour_overlap),
    ]
    # Figures that not every model has.
    asked += [
        (f"cosine of {what}", value, needed.worst_cosine)
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
    """Check whether this kind of model answers with logits, and not with vectors."""
    return TASK_OUTPUTS[task] == LOGITS
