"""Desk: what clients may do, each with its own files and batches only."""

import asyncio
import errno
from pathlib import Path

import pytest

from app.batches import desk as desk_of
from app.batches.desk import WINDOW_SECONDS, NewBatch
from app.batches.objects import BatchError
from app.batches.store import Page
from tests.support.batches import ENDPOINT, begun, ended, jsonl, opened, request, running, uploaded


def test_a_key_cannot_touch_files_and_batches_of_another(tmp_path: Path) -> None:
    async def ask() -> None:
        batch = await begun(desk, jsonl([request(0)]), "ann")
        file_id = batch.input_file_id
        for work in (
            desk.file(file_id, "bob"),
            desk.remove_file(file_id, "bob"),
            desk.batch(batch.id, "bob"),
            desk.cancel(batch.id, "bob"),
            desk.add_batch(NewBatch("bob", ENDPOINT, file_id, None, None)),
        ):
            with pytest.raises(BatchError) as caught:
                await work
            assert caught.value.status == 404
        assert await desk.files("bob", Page(9), None) == []
        assert await desk.batches("bob", Page(9)) == []
        for pages in (
            desk.files("bob", Page(9, file_id), None),
            desk.batches("bob", Page(9, batch.id)),
        ):
            with pytest.raises(BatchError, match="to begin after"):
                await pages
        assert [one.id for one in await desk.batches("ann", Page(9))] == [batch.id]

    with opened(tmp_path) as desk:
        asyncio.run(ask())


def test_a_batch_has_a_day(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        batch = asyncio.run(begun(desk, b"", metadata={"a": "b"}))
    assert batch.expires_at - batch.created_at == WINDOW_SECONDS == 86_400
    assert batch.shown()["metadata"] == {"a": "b"}
    assert batch.shown()["status"] == "validating"


def test_a_file_is_kept_as_long_as_a_batch_reads_it(tmp_path: Path) -> None:
    async def ask() -> None:
        batch = await begun(desk, jsonl([request(0)]))
        with pytest.raises(BatchError, match=f"is the input of {batch.id}"):
            await desk.remove_file(batch.input_file_id, "")
        async with running(desk):
            done = await ended(desk, batch)
        await desk.remove_file(batch.input_file_id, "")
        assert not desk.folder.place(batch.input_file_id).exists()
        assert done.output_id is not None
        with pytest.raises(BatchError, match="Not a file with purpose 'batch'"):
            await desk.add_batch(NewBatch("", ENDPOINT, done.output_id, None, None))

    with opened(tmp_path) as desk:
        asyncio.run(ask())


def test_a_batch_is_cancelled_once(tmp_path: Path) -> None:
    async def ask() -> None:
        batch = await begun(desk, jsonl([request(0)]))
        first = await desk.cancel(batch.id, "")
        assert await desk.cancel(batch.id, "") == first
        async with running(desk):
            await ended(desk, batch)
        with pytest.raises(BatchError, match="Cannot cancel a batch with status 'cancelled'"):
            await desk.cancel(batch.id, "")

    with opened(tmp_path) as desk:
        asyncio.run(ask())


def test_an_upload_has_a_time(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        file_id = asyncio.run(uploaded(desk, b"12345"))
        file = asyncio.run(desk.file(file_id, ""))
    assert (file.bytes, file.purpose, file.expires_at) == (5, "batch", None)


def test_open_batches_of_a_key_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk_of, "MOST_OPEN", 2)

    async def ask() -> None:
        first = await begun(desk, b"", "ann")
        await begun(desk, b"", "ann")
        with pytest.raises(BatchError, match="have 2 batches that have not ended") as caught:
            await begun(desk, b"", "ann")
        assert (caught.value.status, caught.value.code) == (429, "rate_limit_exceeded")
        await begun(desk, b"", "bob")
        desk.folder.store.update(first.id, status="cancelled")
        await begun(desk, b"", "ann")

    with opened(tmp_path) as desk:
        asyncio.run(ask())


def test_a_file_that_cannot_be_added_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(desk_of, "sync", full)
    with opened(tmp_path) as desk, pytest.raises(OSError, match="No space left"):
        asyncio.run(uploaded(desk, b"12345"))
    assert list((tmp_path / "files").iterdir()) == []
