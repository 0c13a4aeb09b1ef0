"""Runner: from one state to the next, whatever happens in between."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from app.batches import progress
from app.batches.input_lines import GROUP_LINES, Line
from app.batches.results import Answer
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


def test_every_request_has_a_result(tmp_path: Path) -> None:
    content = jsonl(
        [request(number, body={"fail": 1} if number % 3 == 0 else {}) for number in range(300)]
    )

    async def compute() -> None:
        batch = await begun(desk, content, output_seconds=4000)
        async with running(desk):
            done = (await ended(desk, batch)).shown()
        assert done["status"] == "completed"
        assert done["request_counts"] == {"total": 300, "completed": 200, "failed": 100}
        assert done["usage"]["total_tokens"] == 600
        for name in ("created_at", "in_progress_at", "finalizing_at", "completed_at"):
            assert done[name] is not None
        good, bad = (results(desk, done[f"{name}_file_id"]) for name in ("output", "error"))
        assert ids(good) == [f"r{number}" for number in range(300) if number % 3]
        assert ids(bad) == [f"r{number}" for number in range(0, 300, 3)]
        file = await desk.file(done["output_file_id"], "")
        assert file.purpose == "batch_output"
        assert file.bytes == desk.folder.place(file.id).stat().st_size
        assert file.expires_at == file.created_at + 4000

    with opened(tmp_path) as desk:
        asyncio.run(compute())


def test_a_file_with_faults_ends_as_failed(tmp_path: Path) -> None:
    async def compute() -> None:
        batch = await begun(desk, b"{\n" + requests(1))
        async with running(desk):
            done = (await ended(desk, batch)).shown()
        assert (done["status"], done["output_file_id"]) == ("failed", None)
        [fault] = done["errors"]["data"]
        assert (fault["code"], fault["line"]) == ("invalid_json_line", 1)

    with opened(tmp_path) as desk:
        asyncio.run(compute())


def test_batches_take_turns(tmp_path: Path) -> None:
    seen: list[str] = []

    async def noting(lines: Sequence[Line]) -> list[Answer]:
        seen.append(lines[0].custom_id[0])
        return await echo(lines)

    def named(letter: str, count: int) -> bytes:
        return jsonl([request(0, custom_id=f"{letter}{number}") for number in range(count)])

    async def compute() -> None:
        first = await begun(desk, named("a", 4 * GROUP_LINES))
        second = await begun(desk, named("b", 1))
        async with running(desk, noting):
            await ended(desk, second)
            assert (await desk.batch(first.id, "")).status == "in_progress"
            await ended(desk, first)
        assert seen == ["a", "b", "a", "a", "a"]

    with opened(tmp_path) as desk:
        asyncio.run(compute())


def test_files_whose_time_is_over_are_removed_but_for_those_in_use(tmp_path: Path) -> None:
    async def compute() -> None:
        batch = await begun(desk, requests(1))
        store = desk.folder.store
        progress.Progress(desk.folder).sweep(0)
        with_time = store.file(batch.input_file_id, "")
        assert with_time is not None
        store.remove_file(with_time.id)
        store.add_file(type(with_time)(**{**_fields(with_time), "expires_at": 1}))
        async with running(desk):
            await ended(desk, batch)
            while store.file(batch.input_file_id, "") is not None:
                progress.Progress(desk.folder).sweep(2)
                await asyncio.sleep(0)
        assert not desk.folder.place(batch.input_file_id).exists()

    with opened(tmp_path) as desk:
        asyncio.run(compute())


def _fields(one: Any) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}
