import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import StartupError
from app.inference.providers.plan import Plan
from app.model.batch import TokenizedInput
from app.model.manifest import Manifest
from app.proof.probes import Probes
from tests.support.certificates import certify
from tests.support.loading import load_folder, try_plans
from tools import tiny

# The CPU provider computes in float32 whatever a plan says: what is decided before and after a
# run can be seen on every machine.
LOWER = Plan("cpu", "it is fast", compute_dtype="bfloat16", lowers=True, must_qualify=True)
PLAIN = Plan("cpu", "always there")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.build(tmp_path)
    return tmp_path


def test_a_model_is_proved_when_it_is_loaded(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    model = load_folder(folder)
    assert model.max_input_length == tiny.MAX_LENGTH
    [line] = [text for text in caplog.messages if text.startswith("Proved")]
    assert line.startswith("Proved on cpu in float32: worst cosine 1.0000000 to the original")
    assert line.endswith(f"over {len(tiny.PROBE_TEXTS)} probes (this machine has no certificate)")


def test_a_certificate_of_this_machine_is_recognized(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    certify(folder)
    assert load_folder(folder).proof.certificate is not None
    certify(folder, machine="another")
    assert load_folder(folder).proof.certificate is None
    proofs = [text for text in caplog.messages if text.startswith("Proved")]
    assert "as certified for this machine" in proofs[0]
    assert "this machine has no certificate" in proofs[1]


def test_a_certificate_with_other_settings_of_the_provider_is_of_another_session(
    folder: Path,
) -> None:
    certify(folder, settings=("SNIPPETS_MODE=DISABLE",))
    assert load_folder(folder).proof.certificate is None


def test_a_certificate_that_lacks_later_figures_still_fits(folder: Path) -> None:
    certify(folder)
    document = json.loads((folder / "manifest.json").read_text())
    for name in ("first_percentile", "neighbour_overlap", "batch_cosine", "longest_input"):
        del document["certificates"][0][name]
    del document["digest"]
    (folder / "manifest.json").write_text(json.dumps(document))
    found = load_folder(folder).proof.certificate
    assert found is not None
    assert found.first_percentile is None


def test_a_certificate_of_another_gpu_does_not_count(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certify(folder, machine="NVIDIA L4 sm_89")
    for gpu, found in (("NVIDIA L4 sm_89", True), ("NVIDIA T4 sm_75", False), (None, False)):
        try_plans(monkeypatch, replace(PLAIN, gpu=gpu))
        assert (load_folder(folder).proof.certificate is not None) is found


def test_a_precision_that_its_certificate_does_not_allow_is_not_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    certify(
        folder,
        compute_dtype="bfloat16",
        probes=500,
        worst_cosine=0.9996,
        first_percentile=0.9998,
        neighbour_overlap=0.99,
    )
    try_plans(monkeypatch, LOWER, PLAIN)
    model = load_folder(folder)
    assert model.session.compute_dtype == "float32"
    assert model.reason.startswith("the first percentile of the cosines is 0.99980, needed at")
    assert any(text.startswith("cpu in bfloat16 is not used") for text in caplog.messages)


def test_a_provider_must_compute_in_the_precision_it_claims(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_plans(monkeypatch, LOWER, PLAIN)
    assert "answers as exactly as float32 does" in load_folder(folder).reason
    try_plans(monkeypatch, replace(LOWER, must_qualify=False))
    with pytest.raises(StartupError, match="answers as exactly as float32 does"):
        load_folder(folder)


def test_the_last_plan_that_fails_stops_the_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = replace(PLAIN, provider="openvino")
    try_plans(monkeypatch, missing)
    with pytest.raises(StartupError, match="no graph for provider openvino"):
        load_folder(folder)


def test_a_model_that_gives_other_vectors_does_not_start(folder: Path) -> None:
    ids = tuple(map(tiny.ids_of, tiny.PROBE_TEXTS))
    wrong = np.stack([tiny.reference(one) + 0.01 for one in ids]).astype(np.float32)
    Probes(tiny.PROBE_TEXTS, tuple(map(TokenizedInput, ids)), wrong).write(folder / "probes.npz")
    tiny.seal(folder, Manifest.read(folder))
    with pytest.raises(StartupError, match=r"does not give its original's answers here: worst"):
        load_folder(folder)


def test_inputs_are_cut_to_what_a_batch_holds(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_folder(folder, max_batch_tokens=8)
    assert model.max_input_length == 8
    [one] = model.tokenization.encode_now(["a " * 20])
    assert len(one) == 8
    assert "inputs are cut to --max-batch-tokens 8" in caplog.messages


def test_without_truncation_too_small_a_batch_does_not_start(folder: Path) -> None:
    with pytest.raises(StartupError, match="--max-batch-tokens 8 is less than the 12 tokens"):
        load_folder(folder, max_batch_tokens=8, truncate=False)
