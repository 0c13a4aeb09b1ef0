"""The verdict at start: what is reported of the measurements, and what stops the start."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import StartupError
from app.inference.proof_verdict import Proof, judge
from app.inference.providers.plan import Plan
from app.model.manifest import Manifest
from app.proof.bounds import Agreement
from tests.support.certificates import certificate
from tools import tiny

BFLOAT16 = Plan("openvino", "bfloat16 was asked for", compute_dtype="bfloat16")
FOUND = Agreement(0.999, 0.999, 0.3, 0.9999, largest_score_error=0.05, largest_logit=11.0)
CERTIFICATE = certificate(
    provider="openvino",
    compute_dtype="bfloat16",
    probes=98,
    worst_cosine=0.998,
    mean_cosine=0.998,
    largest_error=0.93,
    largest_score_error=0.23,
    largest_logit=11.4,
)


@pytest.fixture
def reranker(tmp_path: Path) -> Manifest:
    return tiny.build(tmp_path, "reranker")


def test_scores_in_a_lower_precision_are_served_with_what_they_cost(
    reranker: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    judge(reranker, BFLOAT16, Proof(FOUND, 64, None))
    judge(reranker, BFLOAT16, Proof(FOUND, 8, CERTIFICATE))
    warnings = [one.message for one in caplog.records if one.levelno == logging.WARNING]
    assert warnings == [
        "bfloat16 costs this model: largest error of a logit 0.3, of a score 0.05, alone and in a "
        "batch 0.9999000, over 64 probes",
        "bfloat16 costs this model: largest error of a logit 0.93, of a score 0.23, over 98 probes",
    ]


def test_the_certificate_over_more_probes_counts_as_well(reranker: Manifest) -> None:
    bad = replace(CERTIFICATE, largest_error=1.3)
    with pytest.raises(StartupError) as refusal:
        judge(reranker, BFLOAT16, Proof(FOUND, 8, bad))
    assert str(refusal.value) == (
        "the model does not give its original's answers here: largest error 1.3e+00 of a logit on "
        "openvino in bfloat16, needed at most 1.1e+00, 0.1 of the largest logit; use --dtype "
        "float32"
    )


def test_in_float32_nothing_is_said_to_cost(
    reranker: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    exact = replace(FOUND, largest_error=1.3e-4)
    judge(reranker, Plan("cpu", "always there"), Proof(exact, 64, None))
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]
    with pytest.raises(StartupError, match="export it again"):
        judge(reranker, Plan("cpu", "always there"), Proof(FOUND, 64, None))
