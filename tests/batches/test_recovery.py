"""Recovery: a crash, a full disk or a failing model costs no result."""

import asyncio
import errno
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.batches import results as stored
from app.batches import runner
from app.batches.input_lines import GROUP_LINES, Line
from app.batches.results import Answer
from app.batches.steps import NotNow
from tests.support.batches import (
    begun,
    echo,
    ended,
    ids,
    jsonl,
    opened,
    request,
    requests,
    results,
    running,
)

pytestmark = pytest.mark.usefixtures("whole_groups")


def test_a_crashed_runner_is_replaced(tmp_path: Path) -> None:
    """Unwritten results are computed again, and written once."""

    async def compute(most: int) -> str | None:
        groups = 0
        over = asyncio.Event()

        async def ending(lines: Sequence[Line]) -> list[Answer]:
            nonlocal groups
            groups += 1
            if groups > most:
                over.set()
                await asyncio.Event().wait()
            return await echo(lines)

        batch = desk.folder.store.next_open("") or await begun(desk, requests(700))
        async with running(desk, ending):
            done = asyncio.create_task(ended(desk, batch))
            await asyncio.wait(
                {done, asyncio.create_task(over.wait())}, return_when="FIRST_COMPLETED"
            )
            return done.result().output_id if done.done() else None

    found, opens = None, 0
    while found is None:
        with opened(tmp_path) as desk:
            found = asyncio.run(compute(opens % 3))
            if found is not None:
                assert ids(results(desk, found)) == [f"r{number}" for number in range(700)]
        opens += 1
    assert opens > 3


def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "RETRY_SECONDS", 0.001)
    full, append = [True] * 3, stored.append

    def failing(path: Path, committed: int, content: bytes) -> int:
        written = append(path, committed, content)
        if full:
            full.pop()
            raise OSError(errno.ENOSPC, "No space left on device")
        return written

    async def compute() -> None:
        batch = await begun(desk, requests(5))
        async with running(desk):
            while batch.id not in desk.troubles:
                await desk.batch(batch.id, "")
            assert "No space left on device" in desk.troubles[batch.id]
            done = (await ended(desk, batch)).shown()
        assert done["request_counts"] == {"total": 5, "completed": 5, "failed": 0}
        assert ids(results(desk, done["output_file_id"])) == [f"r{number}" for number in range(5)]
        assert desk.troubles == {}

    monkeypatch.setattr(stored, "append", failing)
    with opened(tmp_path) as desk:
        asyncio.run(compute())


def test_a_model_that_does_not_answer_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RETRY_SECONDS", 0.001)
    sick = [True] * 3

    async def recovering(lines: Sequence[Line]) -> list[Answer]:
        if sick:
            sick.pop()
            raise NotNow("gone")
        return await echo(lines)

    async def compute() -> None:
        batch = await begun(desk, requests(5))
        async with running(desk, recovering):
            done = await ended(desk, batch)
        assert (done.status, done.completed) == ("completed", 5)

    with opened(tmp_path) as desk:
        asyncio.run(compute())


def test_deleted_results_fail_the_batch(tmp_path: Path) -> None:
    async def emptying(lines: Sequence[Line]) -> list[Answer]:
        if lines[0].custom_id != "r0":
            batch = desk.folder.store.next_open("")
            assert batch is not None
            assert batch.output_id is not None
            desk.folder.place(batch.output_id).write_bytes(b"")
        return await echo(lines)

    async def compute() -> None:
        batch = await begun(desk, requests(2 * GROUP_LINES))
        async with running(desk, emptying):
            done = await ended(desk, batch)
        assert done.status == "failed"
        assert "not there any more" in json.loads(done.errors or "")[0]["message"]

    with opened(tmp_path) as desk:
        asyncio.run(compute())


def test_an_internal_error_ends_only_its_batch(tmp_path: Path) -> None:
    async def faulty(lines: Sequence[Line]) -> list[Answer]:
        if lines[0].custom_id == "r7":
            raise ZeroDivisionError
        return await echo(lines)

    async def compute() -> None:
        bad = await begun(desk, jsonl([request(7)]))
        good = await begun(desk, requests(1))
        async with running(desk, faulty):
            assert (await ended(desk, bad)).status == "failed"
            assert (await ended(desk, good)).status == "completed"

    with opened(tmp_path) as desk:
        asyncio.run(compute())
