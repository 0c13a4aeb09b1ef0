from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from app.model.names import Dtype, Task
from app.proof.bounds import (
    Agreement,
    bound_text,
    cost_text,
    figure,
    is_as_certified,
    is_proved,
    shortfall,
)
from app.proof.compare import Answers, compare_logits

Vectors = NDArray[np.float32]
GOOD = Agreement(0.99991, 0.99998, 0.002, 0.9999, 0.99995, 0.99)


def answers(batched: Vectors, alone: Vectors | None = None) -> Answers:
    return Answers(batched, batched if alone is None else alone, range(len(batched)))


def test_a_lossy_graph_may_miss_half_as_much_again_as_certified() -> None:
    certified = Agreement(0.98, 0.99, 0.2, 1.0)
    near, far = Agreement(0.971, 0.99, 0.29, 1.0), Agreement(0.969, 0.99, 0.31, 1.0)
    for task in ("embedding", "splade", "reranker", "classifier"):
        assert is_as_certified(task, near, certified)
        assert not is_as_certified(task, far, certified)


def test_single_tokens_may_cost_more_than_whole_texts_but_not_more_than_certified() -> None:
    certified = Agreement(0.98, 0.99, 0.2, 1.0, token_cosine=0.9, lexical_cosine=0.98)
    assert is_proved("embedding", "int8", certified)
    assert not is_proved("embedding", "int8", replace(certified, token_cosine=0.79))
    assert not is_proved("embedding", "bfloat16", replace(certified, worst_cosine=0.9999))
    assert is_as_certified("embedding", replace(certified, token_cosine=0.86), certified)
    assert not is_as_certified("embedding", replace(certified, token_cosine=0.84), certified)
    assert "worst of a token's vector 0.90000" in cost_text("embedding", certified)


def test_the_cost_is_every_figure_that_was_measured() -> None:
    vectors = Agreement(0.98, 0.99, 0.2, 1.0, first_percentile=0.985, neighbour_overlap=0.96)
    assert cost_text("embedding", vectors) == (
        "worst cosine 0.98000, first percentile 0.98500, mean 0.99000, overlap of nearest "
        "neighbours 0.9600, alone and in a batch 1.0000000"
    )
    logits = Agreement(0.98, 0.99, 0.2, 1.0, largest_score_error=0.046)
    assert cost_text("reranker", logits) == (
        "largest error of a logit 0.2, of a score 0.046, alone and in a batch 1.0000000"
    )


def test_a_logit_that_is_not_finite_is_never_proved() -> None:
    reference = np.array([[0.0], [4.0]], np.float32)
    found = compare_logits(reference, answers(np.array([[0.0], [np.nan]], np.float32)))
    assert found.largest_score_error == float("inf")
    assert not is_proved("reranker", "bfloat16", found)


def test_a_reference_that_is_not_finite_proves_nothing() -> None:
    reference = np.array([[0.0], [np.inf]], np.float32)
    found = compare_logits(reference, answers(np.array([[0.0], [4.0]], np.float32)))
    assert not is_proved("reranker", "float32", found)


@pytest.mark.parametrize(
    ("dtype", "error", "proved"),
    [("float32", 1.3e-4, True), ("float32", 1.2e-3, False), ("int8", 1.0, True),
     ("bfloat16", 0.93, True), ("bfloat16", 1.2, False), ("int8", 1.2, False)],
)  # fmt: skip
def test_large_logits_may_be_off_by_more(dtype: Dtype, error: float, proved: bool) -> None:
    measured = replace(GOOD, largest_error=error, largest_logit=11.0)
    assert is_proved("reranker", dtype, measured) is proved


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("wrong", ["another", "negated", "half as large", "all the same"])
def test_logits_of_a_wrong_head_are_never_proved(dtype: Dtype, wrong: str) -> None:
    random = np.random.default_rng(3)
    pooled = random.normal(size=(100, 32)).astype(np.float32)
    head = random.normal(size=(32, 1)).astype(np.float32)
    heads: dict[str, Vectors] = {
        "another": random.normal(size=(32, 1)).astype(np.float32),
        "negated": -head,
        "half as large": (head / 2).astype(np.float32),
        "all the same": np.zeros((32, 1), np.float32),
    }
    found = compare_logits(pooled @ head, answers(pooled @ heads[wrong]))
    assert not is_proved("reranker", dtype, found)
    assert is_proved("reranker", dtype, compare_logits(pooled @ head, answers(pooled @ head)))


def test_a_head_without_its_bias_is_not_proved_in_float32() -> None:
    logits = np.random.default_rng(3).normal(size=(100, 1), scale=4).astype(np.float32)
    found = compare_logits(logits, answers(logits - np.float32(0.01)))
    assert not is_proved("reranker", "float32", found)


@pytest.mark.parametrize(
    ("task", "dtype", "worst_cosine", "largest_error", "proved"),
    [
        ("embedding", "float32", 0.99999, 0.1, True),
        ("embedding", "float32", 0.99998, 0.1, False),
        ("embedding", "bfloat16", 0.9995, 0.1, True),
        ("splade", "bfloat16", 0.998, 0.1, False),
        ("reranker", "float32", 0.5, 1e-4, True),
        ("classifier", "float32", 1.0, 2e-4, False),
        ("reranker", "bfloat16", 0.5, 0.1, True),
        ("reranker", "bfloat16", 1.0, 0.2, False),
        ("embedding", "bfloat16", float("nan"), 0.1, False),
        ("embedding", "int16", 0.9999, 0.1, True),
        ("embedding", "int16", 0.99989, 0.1, False),
        ("multi_vector", "int16", 0.999, 0.1, True),
        ("multi_vector", "int16", 0.9989, 0.1, False),
        ("reranker", "int16", 0.5, 0.01, True),
        ("reranker", "int16", 1.0, 0.02, False),
    ],
)
def test_the_least_agreement_for_serving(
    task: Task, dtype: Dtype, worst_cosine: float, largest_error: float, proved: bool
) -> None:
    measured = replace(GOOD, worst_cosine=worst_cosine, largest_error=largest_error)
    assert is_proved(task, dtype, measured) is proved


def test_the_words_name_what_is_judged() -> None:
    assert figure("embedding", GOOD) == "worst cosine 0.9999100"
    assert figure("reranker", GOOD) == "largest error 2.0e-03 of a logit"
    assert bound_text("embedding", "float32", GOOD) == "at least 0.99999"
    logits = replace(GOOD, largest_logit=11.0)
    assert (
        bound_text("reranker", "float32", logits) == "at most 1.1e-03, 0.0001 of the largest logit"
    )
    assert bound_text("reranker", "float32", GOOD) == "at most 1.0e-04, 0.0001 of the largest logit"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"worst_cosine": 0.9995, "first_percentile": 0.9999, "neighbour_overlap": 0.97}, None),
        ({"worst_cosine": 0.9994}, "the worst cosine is 0.99940, needed at least 0.9995"),
        ({"first_percentile": 0.9998}, "the first percentile of the cosines is 0.99980, needed"),
        ({"neighbour_overlap": 0.96}, "the overlap of nearest neighbours is 0.96000, needed"),
        ({"neighbour_overlap": float("nan")}, "the overlap of nearest neighbours is nan"),
        ({"first_percentile": None}, "the first percentile of the cosines was not measured"),
    ],
)
def test_precisions_that_may_be_chosen_by_default(
    changes: dict[str, float], words: str | None
) -> None:
    for dtype in ("bfloat16", "float16"):
        found = shortfall(dtype, replace(GOOD, **changes))
        assert found == words if words is None else found is not None and found.startswith(words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"worst_cosine": 0.9999, "first_percentile": 0.9999, "neighbour_overlap": 0.99}, None),
        ({"worst_cosine": 0.99989}, "the worst cosine is 0.99989, needed at least 0.9999"),
        ({"neighbour_overlap": 0.9899}, "the overlap of nearest neighbours is 0.98990, needed"),
        ({"neighbour_overlap": None}, "the overlap of nearest neighbours was not measured"),
    ],
)
def test_int16_has_to_come_closer(changes: dict[str, float], words: str | None) -> None:
    found = shortfall("int16", replace(GOOD, **changes))
    assert found == words if words is None else found is not None and found.startswith(words)


WHOLE = replace(GOOD, worst_cosine=1.0, token_cosine=1.0, lexical_cosine=1.0, lexical_error=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"worst_cosine": 0.9999},
        {"token_cosine": 0.9999},
        {"lexical_cosine": 0.9999},
        {"lexical_error": 2e-4},
        {"token_cosine": float("nan")},
        {"lexical_error": float("nan")},
    ],
)
def test_outputs_for_tokens_must_be_close_too(change: dict[str, float]) -> None:
    assert is_proved("embedding", "float32", WHOLE)
    assert not is_proved("embedding", "float32", replace(WHOLE, **change))


def test_figures_for_tokens_are_shown() -> None:
    assert figure("embedding", WHOLE) == (
        "worst cosine 1.0000000, of a token's vector 1.0000000, of the lexical weights 1.0000000, "
        "largest error 1.0e-06 of one"
    )
    assert bound_text("embedding", "float32", WHOLE) == (
        "at least 0.99999, with an error of at most 1e-04"
    )


@pytest.mark.parametrize("name", ["token_cosine", "lexical_cosine"])
def test_tokens_may_keep_a_lower_precision_from_being_taken(name: str) -> None:
    assert shortfall("bfloat16", WHOLE) is None
    assert "0.9990" in (shortfall("bfloat16", replace(WHOLE, **{name: 0.999})) or "")
