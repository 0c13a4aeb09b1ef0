"""Attempts: a line that crashes the process costs a few restarts, and no other line."""

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.batches import runner
from app.batches.attempts import MOST_ALONE
from app.batches.input_lines import Line
from app.batches.objects import Batch
from app.batches.results import Answer
from app.batches.steps import NotNow
from tests.support.batches import begun, echo, ended, jsonl, opened, request, results, running

DEADLY = "r20"
CONTENT = jsonl([request(number) for number in range(60)])


def test_a_line_that_crashes_the_process_is_given_up(tmp_path: Path) -> None:
    groups: list[list[str]] = []

    async def live(place: Path) -> Batch | None:
        """Return the batch when it has ended, or None if the process crashed."""
        killed = asyncio.Event()

        async def deadly(lines: Sequence[Line]) -> list[Answer]:
            ids = [line.custom_id for line in lines]
            groups.append(ids)
            if DEADLY in ids:
                # The next process has only what is on the disk now.
                shutil.copytree(place, place.with_name(f"{len(groups)}"))
                killed.set()
                await asyncio.Event().wait()
            return await echo(lines)

        with opened(place) as desk:
            batch = desk.folder.store.next_open("") or await begun(desk, CONTENT)
            async with running(desk, deadly):
                done = asyncio.create_task(ended(desk, batch))
                over = asyncio.create_task(killed.wait())
                await asyncio.wait({done, over}, return_when="FIRST_COMPLETED")
                done.cancel()
                over.cancel()
            if killed.is_set():
                return None
            now = desk.folder.store.batch(batch.id)
            assert now is not None
            good, bad = (results(desk, one) for one in (now.output_id, now.error_id))
        assert [one["custom_id"] for one in good] == [
            f"r{number}" for number in range(60) if f"r{number}" != DEADLY
        ]
        [error] = bad
        assert (error["custom_id"], error["response"]["status_code"]) == (DEADLY, 500)
        assert f"ended {MOST_ALONE} times while" in error["response"]["body"]["error"]["message"]
        return now

    lives, place, done = 0, tmp_path / "0", None
    while done is None:
        done = asyncio.run(live(place))
        lives, place = lives + 1, tmp_path / f"{len(groups)}"
    assert lives == 1 + MOST_ALONE + 1
    assert (done.status, done.completed, done.failed) == ("completed", 59, 1)
    deaths = [group for group in groups if DEADLY in group]
    assert [len(group) > 1 for group in deaths] == [True] + [False] * MOST_ALONE
    after = groups[len(groups) - groups[::-1].index(deaths[-1]) :]
    doubtful = deaths[0][deaths[0].index(DEADLY) + 1 :]
    assert after[: len(doubtful)] == [[id_] for id_ in doubtful]  # the rest of the first group
    assert len(after) > len(doubtful)
    assert all(len(group) > 1 for group in after[len(doubtful) :])


@pytest.mark.parametrize("is_full", [False, True])
def test_a_line_without_a_crash_is_not_suspected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    monkeypatch.setattr(runner, "RETRY_SECONDS", 0.001)
    sizes: list[int] = []

    async def failing(lines: Sequence[Line]) -> list[Answer]:
        sizes.append(len(lines))
        if len(sizes) < 6:
            raise OSError("full") if is_full else NotNow("sick")
        return await echo(lines)

    async def compute() -> None:
        batch = await begun(desk, CONTENT)
        async with running(desk, failing):
            done = await ended(desk, batch)
        assert (done.completed, done.failed) == (60, 0)
        assert sizes[:6] == [sizes[0]] * 6
        assert sizes[0] > 1

    with opened(tmp_path) as desk:
        asyncio.run(compute())


def test_a_clean_shutdown_raises_no_suspicion(tmp_path: Path) -> None:
    async def live(*, is_last: bool) -> None:
        began = asyncio.Event()

        async def slow(lines: Sequence[Line]) -> list[Answer]:
            began.set()
            if not is_last:
                await asyncio.Event().wait()
            assert len(lines) > 1
            return await echo(lines)

        with opened(tmp_path) as desk:
            batch = desk.folder.store.next_open("") or await begun(desk, CONTENT)
            async with running(desk, slow):
                await began.wait()
                if is_last:
                    await ended(desk, batch)
                    assert json.loads((await desk.batch(batch.id, "")).errors or "[]") == []

    for _ in range(4):
        asyncio.run(live(is_last=False))
    asyncio.run(live(is_last=True))
