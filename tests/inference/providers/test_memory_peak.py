"""The runs that need most memory happen at start, where they can still be refused."""

from pathlib import Path
from typing import Any

import pytest

from app.errors import OutOfMemory, StartupError
from app.inference.providers.session import Session
from app.model.batch import Batch
from tests.support.loading import load_folder


def test_a_batch_that_does_not_fit_into_memory_names_its_option(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: Any) -> Any:
        raise OutOfMemory("Backend error: Failed to allocate memory")

    monkeypatch.setattr(Session, "run", run)
    with pytest.raises(StartupError, match=r"a batch of 1 × 1 tokens .* lower --max-batch-tokens"):
        load_folder(tiny_model)


def test_the_largest_batches_are_run_before_the_first_request(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[Any] = []
    run = Session.run

    def recorded(session: Session, batch: Batch, outputs: Any) -> Any:
        masks.append(batch.attention_mask.sum(axis=1).tolist())
        return run(session, batch, outputs)

    monkeypatch.setattr(Session, "run", recorded)
    load_folder(tiny_model, max_batch_tokens=20)
    beside = [9, 10]  # a run of single inputs
    assert masks[0] == [1]
    assert sorted(masks[1:3]) == [beside, [12]]
    assert masks[3:5] == [[9, 10], beside]
