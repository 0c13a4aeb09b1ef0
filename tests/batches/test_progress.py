"""Progress: a change that comes too late changes nothing."""

import asyncio
from pathlib import Path

from app.batches.objects import Fault
from app.batches.progress import Progress
from tests.support.batches import begun, opened


def test_a_batch_that_was_just_cancelled_stays_cancelled(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        batch = asyncio.run(begun(desk, b""))
        store, progress = desk.folder.store, Progress(desk.folder)
        asyncio.run(desk.cancel(batch.id, ""))
        progress.validated(batch, 7, "m", 1)
        now = store.batch(batch.id)
        assert now is not None
        assert (now.status, now.total) == ("cancelling", 7)  # whose lines may be reported
        progress.computed(now, 1)
        now = store.batch(batch.id)
        assert now is not None
        assert now.status == "finalizing"
        progress.computed(batch, 9)
        assert store.batch(batch.id) == now


def test_a_batch_that_has_ended_does_not_fail(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        batch = asyncio.run(begun(desk, b""))
        progress = Progress(desk.folder)
        progress.end(batch, "cancelled", 5)
        progress.fail(batch.id, [Fault("server_error", "No.")], 6)
        now = desk.folder.store.batch(batch.id)
    assert now is not None
    assert (now.status, now.cancelled_at, now.errors) == ("cancelled", 5, None)
