"""Steps: how much one computes, and what becomes of lines that are never computed."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from app.batches import steps
from app.batches.desk import WINDOW_SECONDS
from app.batches.input_lines import GROUP_LINES, Checked, Line, Rules
from app.batches.results import Answer
from tests.support.batches import (
    begun,
    echo,
    ended,
    ids,
    opened,
    requests,
    results,
    running,
)
from tools.process import eventually

pytestmark = pytest.mark.usefixtures("whole_groups")


@pytest.mark.parametrize(
    ("lines", "computed", "answered", "seconds", "expected"),
    [
        (16, 16, 16, 0.1, 32),
        (100, 100, 100, 0.1, GROUP_LINES),
        (64, 64, 64, 0.7, 64),
        (64, 64, 64, 1.5, 32),
        (64, 2, 2, 3.0, 1),  # each with many inputs, so that few lines fit
        (64, 2, 2, 0.1, GROUP_LINES),
        (64, 64, 5, 0.1, 5),
        (64, 64, 5, 1.5, 2),
        (1, 1, 1, 9.0, 1),
    ],
)
def test_a_group_takes_about_a_second(
    lines: int, computed: int, answered: int, seconds: float, expected: int
) -> None:
    assert steps.lines_after(lines, computed, answered, seconds) == expected


def test_cancelling_keeps_what_is_there_and_tells_of_the_rest(tmp_path: Path) -> None:
    started = asyncio.Event()

    async def halting(lines: Sequence[Line]) -> list[Answer]:
        if lines[0].custom_id != "r0":
            started.set()
            await asyncio.Event().wait()
        return await echo(lines)

    async def compute() -> None:
        batch = await begun(desk, requests(3 * GROUP_LINES))
        async with running(desk, halting):
            await started.wait()
            assert (await desk.cancel(batch.id, "")).status == "cancelling"
            done = (await ended(desk, batch)).shown()
        assert done["status"] == "cancelled"
        assert done["request_counts"]["completed"] == GROUP_LINES
        good, bad = (results(desk, done[f"{name}_file_id"]) for name in ("output", "error"))
        assert ids(good + bad) == [f"r{number}" for number in range(3 * GROUP_LINES)]
        assert {one["error"]["code"] for one in bad} == {"batch_cancelled"}

    with opened(tmp_path) as desk:
        asyncio.run(compute())


def test_a_batch_that_is_cancelled_before_it_is_read_has_no_results(tmp_path: Path) -> None:
    async def compute() -> None:
        batch = await begun(desk, requests(3))
        await desk.cancel(batch.id, "")
        async with running(desk):
            done = (await ended(desk, batch)).shown()
        assert done["status"] == "cancelled"
        assert done["output_file_id"] is done["error_file_id"] is None

    with opened(tmp_path) as desk:
        asyncio.run(compute())


def test_lines_left_at_the_end_of_the_window_expire(tmp_path: Path) -> None:
    late: list[float] = []

    async def slow(lines: Sequence[Line]) -> list[Answer]:
        late.append(WINDOW_SECONDS + 1)
        return await echo(lines)

    async def compute() -> None:
        batch = await begun(desk, requests(2 * GROUP_LINES))
        async with running(desk, slow, clock=lambda: batch.created_at + sum(late)):
            done = (await ended(desk, batch)).shown()
        assert (done["status"], done["expired_at"]) == ("expired", batch.expires_at + 1)
        assert done["request_counts"] == {"total": 256, "completed": 128, "failed": 0}
        bad = results(desk, done["error_file_id"])
        assert ids(bad) == [f"r{number}" for number in range(GROUP_LINES, 2 * GROUP_LINES)]
        assert {one["error"]["code"] for one in bad} == {"batch_expired"}

    with opened(tmp_path) as desk:
        asyncio.run(compute())


@pytest.mark.parametrize("cancelled", [False, True])
def test_an_input_that_has_lost_lines_fails(tmp_path: Path, cancelled: bool) -> None:
    async def compute() -> None:
        batch = await begun(desk, requests(2 * GROUP_LINES))
        path = desk.folder.place(batch.input_file_id)
        first = b"".join(path.read_bytes().splitlines(keepends=True)[:GROUP_LINES])

        async def losing(lines: Sequence[Line]) -> list[Answer]:
            path.write_bytes(first)
            if cancelled:
                await desk.cancel(batch.id, "")
            return await echo(lines)

        async with running(desk, losing):
            done = await ended(desk, batch)
        assert done.status == "failed"
        assert "some lines have no result" in (done.errors or "")

    with opened(tmp_path) as desk:
        asyncio.run(compute())


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
@pytest.mark.parametrize("is_read", [False, True])
def test_a_batch_whose_input_is_gone_ends(tmp_path: Path, status: str, is_read: bool) -> None:
    late: list[float] = []

    async def compute() -> None:
        batch = await begun(desk, requests(2 * GROUP_LINES))

        async def losing(lines: Sequence[Line]) -> list[Answer]:
            await lose()
            return await echo(lines)

        async def lose() -> None:
            desk.folder.place(batch.input_file_id).unlink()
            if status == "cancelled":
                await desk.cancel(batch.id, "")
            elif status == "expired":
                late.append(WINDOW_SECONDS + 1)

        if not is_read:
            await lose()
        async with running(desk, losing, clock=lambda: batch.created_at + sum(late)):
            done = await ended(desk, batch)
        assert done.status == (status if is_read or status == "cancelled" else "failed")
        if done.status == "failed":
            assert "The input file is not there any more." in (done.errors or "")
        await desk.remove_file(batch.input_file_id, "")

    with opened(tmp_path) as desk:
        asyncio.run(compute())


def test_lines_without_an_answer_are_computed_next(tmp_path: Path) -> None:
    seen: list[int] = []

    async def compute_some(lines: Sequence[Line]) -> list[Answer]:
        seen.append(len(lines))
        return await echo(lines[:3])

    async def compute() -> None:
        batch = await begun(desk, requests(10))
        async with running(desk, compute_some):
            done = await ended(desk, batch)
        assert (done.status, done.completed) == ("completed", 10)
        assert ids(results(desk, done.output_id)) == [f"r{number}" for number in range(10)]
        assert seen[:2] == [10, 3]

    with opened(tmp_path) as desk:
        asyncio.run(compute())


def test_a_batch_is_cancelled_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins, ends = threading.Event(), threading.Event()

    def check(_: Path, __: Rules, is_over: Callable[[], bool]) -> Checked:
        begins.set()
        eventually(is_over)
        ends.set()
        return Checked(1, None, ())

    monkeypatch.setattr(steps, "checked", check)

    async def compute() -> None:
        batch = await begun(desk, requests(1))
        async with running(desk):
            assert await asyncio.to_thread(begins.wait, 60)
            await desk.cancel(batch.id, "")
            assert (await ended(desk, batch)).status == "cancelled"
            assert await asyncio.to_thread(ends.wait, 60)

    with opened(tmp_path) as desk:
        asyncio.run(compute())
