import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import OutOfMemory, StartupError
from app.inference import loading
from app.inference.loading import LoadedModel, LoadOptions, load
from app.inference.providers import machine
from app.inference.providers.plan import Plan, ProviderRequest
from app.inference.providers.session import Session
from app.model.batch import Batch, TokenizedInput
from app.model.manifest import Manifest
from app.model.parts import Certificate
from app.proof.probes import Probes
from tools import tiny


def load_tiny(folder: Path, max_batch_tokens: int = 16384, *, truncate: bool = True) -> LoadedModel:
    options = LoadOptions(ProviderRequest("cpu", threads=1), 1, max_batch_tokens, truncate)
    return load(folder, options)


# The CPU provider computes in float32 whatever a plan says: what is decided before and after a
# run can be seen on every machine.
LOWER = Plan("cpu", "it is fast", compute_dtype="bfloat16", lowers=True, must_qualify=True)
PLAIN = Plan("cpu", "always there")


def certify(folder: Path, **changes: Any) -> None:
    """Give the folder a certificate for the CPU provider on this machine."""
    manifest = Manifest.read(folder)
    certificate = Certificate(
        graph=manifest.graphs[0].file,
        provider="cpu",
        compute_dtype="float32",
        machine=machine.describe(),
        reference="pytorch",
        probes=7,
        worst_cosine=1.0,
        mean_cosine=1.0,
        largest_error=0.0,
        created="2026-01-01T00:00:00+00:00",
    )
    replace(manifest, certificates=(replace(certificate, **changes),)).write(folder)


def try_plans(monkeypatch: pytest.MonkeyPatch, *tried: Plan) -> None:
    monkeypatch.setattr(loading, "plans", lambda *_: list(tried))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.build(tmp_path)
    return tmp_path


def test_a_model_is_proved_when_it_is_loaded(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    model = load_tiny(folder)
    assert model.max_input_length == tiny.MAX_LENGTH
    [line] = [text for text in caplog.messages if text.startswith("Proved")]
    assert line.startswith("Proved on cpu in float32: worst cosine 1.0000000 to the original")
    assert line.endswith(f"over {len(tiny.PROBE_TEXTS)} probes (this machine has no certificate)")


def test_a_certificate_of_this_machine_is_recognized(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    certify(folder)
    assert load_tiny(folder).proof.certificate is not None
    certify(folder, machine="another")
    assert load_tiny(folder).proof.certificate is None
    proofs = [text for text in caplog.messages if text.startswith("Proved")]
    assert "as certified for this machine" in proofs[0]
    assert "this machine has no certificate" in proofs[1]


def test_a_certificate_that_lacks_later_figures_still_fits(folder: Path) -> None:
    certify(folder)
    document = json.loads((folder / "manifest.json").read_text())
    for name in ("first_percentile", "neighbour_overlap", "batch_cosine", "longest_input"):
        del document["certificates"][0][name]
    del document["digest"]
    (folder / "manifest.json").write_text(json.dumps(document))
    certificate = load_tiny(folder).proof.certificate
    assert certificate is not None
    assert certificate.first_percentile is None


def test_a_certificate_of_another_gpu_says_nothing_here(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certify(folder, machine="NVIDIA L4 sm_89")
    for gpu, found in (("NVIDIA L4 sm_89", True), ("NVIDIA T4 sm_75", False), (None, False)):
        try_plans(monkeypatch, replace(PLAIN, gpu=gpu))
        assert (load_tiny(folder).proof.certificate is not None) is found


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
    model = load_tiny(folder)
    assert model.session.compute_dtype == "float32"
    assert model.reason.startswith("the first percentile of the cosines is 0.99980, needed at")
    assert any(text.startswith("cpu in bfloat16 is not used") for text in caplog.messages)


def test_what_claims_a_lower_precision_must_compute_in_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_plans(monkeypatch, LOWER, PLAIN)
    assert "answers as exactly as float32 does" in load_tiny(folder).reason
    try_plans(monkeypatch, replace(LOWER, must_qualify=False))
    with pytest.raises(StartupError, match="answers as exactly as float32 does"):
        load_tiny(folder)


def test_the_last_plan_that_fails_stops_the_start(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = replace(PLAIN, provider="openvino")
    monkeypatch.setattr(loading, "plans", lambda *_: [missing])
    with pytest.raises(StartupError, match="no graph for provider openvino"):
        load_tiny(folder)


def test_a_model_that_gives_other_vectors_does_not_start(folder: Path) -> None:
    ids = tuple(map(tiny.ids_of, tiny.PROBE_TEXTS))
    wrong = np.stack([tiny.reference(one) + 0.01 for one in ids]).astype(np.float32)
    Probes(tiny.PROBE_TEXTS, tuple(map(TokenizedInput, ids)), wrong).write(folder / "probes.npz")
    tiny.seal(folder, Manifest.read(folder))
    with pytest.raises(StartupError, match=r"does not give its original's answers here: worst"):
        load_tiny(folder)


def test_inputs_are_cut_to_what_a_batch_holds(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = load_tiny(folder, max_batch_tokens=8)
    assert model.max_input_length == 8
    [one] = model.tokenization.encode_now(["a " * 20])
    assert len(one) == 8
    assert "inputs are cut to --max-batch-tokens 8" in caplog.messages


def test_a_batch_that_does_not_fit_into_memory_names_its_option(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any) -> Any:
        raise OutOfMemory("Backend error: Failed to allocate memory")

    monkeypatch.setattr(Session, "run", run)
    with pytest.raises(StartupError, match=r"a batch of 1 × 1 tokens .* lower --max-batch-tokens"):
        load_tiny(folder)


def test_the_largest_batches_are_run_before_anyone_asks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[Any] = []
    run = Session.run

    def recorded(session: Session, batch: Batch, outputs: Any) -> Any:
        masks.append(batch.attention_mask.sum(axis=1).tolist())
        return run(session, batch, outputs)

    monkeypatch.setattr(Session, "run", recorded)
    load_tiny(folder, max_batch_tokens=20)
    beside = [9, 10]  # a run of inputs that came alone
    assert masks[0] == [1]
    assert sorted(masks[1:3]) == [beside, [12]]
    assert masks[3:5] == [[9, 10], beside]


def test_without_truncation_too_small_a_batch_does_not_start(folder: Path) -> None:
    with pytest.raises(StartupError, match="--max-batch-tokens 8 is less than the 12 tokens"):
        load_tiny(folder, max_batch_tokens=8, truncate=False)
