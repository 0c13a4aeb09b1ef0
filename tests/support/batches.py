"""Files and batches: requests of clients, and desks and runners without HTTP."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from app.batches.desk import Desk, NewBatch, NewFile
from app.batches.input_lines import Line
from app.batches.objects import Batch
from app.batches.results import Answer
from app.batches.runner import Runner
from app.batches.steps import Compute, Work
from app.lifecycle import Lifecycle
from app.telemetry.metrics import Metrics

ENDPOINT = "/v1/embeddings"
NEW = {"endpoint": ENDPOINT, "completion_window": "24h"}
_BOUNDARY = "a1b2"


def request(number: int, text: str = "a b", **changes: Any) -> dict[str, Any]:
    """Return a line of an input file, before it is JSON."""
    body = {"model": "m", "input": text}
    return {"custom_id": f"r{number}", "method": "POST", "url": ENDPOINT, "body": body, **changes}


def jsonl(requests: Sequence[Any]) -> bytes:
    """Lines of JSON."""
    return b"".join(json.dumps(one).encode() + b"\n" for one in requests)


def requests(count: int) -> bytes:
    """Return the lines of an input file."""
    return jsonl([request(number) for number in range(count)])


def ids(lines: Sequence[Any]) -> list[str]:
    """Return the ids of lines, in order."""
    return [one["custom_id"] for one in lines]


def form(
    content: bytes | None, fields: Mapping[str, str] | None = None, name: str = "in.jsonl"
) -> tuple[bytes, dict[str, str]]:
    """Return a form with a file after its fields, and its content-type header."""
    fields = {"purpose": "batch"} if fields is None else fields
    head = 'Content-Disposition: form-data; name="'
    parts = [
        f'--{_BOUNDARY}\r\n{head}{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    if content is not None:
        opening = f'--{_BOUNDARY}\r\n{head}file"; filename="{name}"\r\n\r\n'
        parts.append(opening.encode() + content + b"\r\n")
    body = b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
    return body, {"content-type": f"multipart/form-data; boundary={_BOUNDARY}"}


@contextmanager
def opened(path: Path) -> Iterator[Desk]:
    """Open a desk over a folder."""
    desk = Desk(path)
    try:
        yield desk
    finally:
        desk.close()


async def uploaded(desk: Desk, content: bytes, owner: str = "") -> str:
    """Add a file; return its id."""
    path = desk.new_place()
    path.write_bytes(content)
    return (await desk.add_file(NewFile(path, owner, "in.jsonl", len(content), None))).id


async def begun(desk: Desk, content: bytes, owner: str = "", **changes: Any) -> Batch:
    """Start a batch of a file with this content."""
    file_id = await uploaded(desk, content, owner)
    new = {"metadata": None, "output_seconds": None, **changes}
    return await desk.add_batch(NewBatch(owner, ENDPOINT, file_id, **new))


async def ended(desk: Desk, batch: Batch) -> Batch:
    """Wait for a batch to end, and return it."""
    now = batch
    while not now.has_ended:
        now = await desk.batch(batch.id, batch.owner)
    return now


async def echo(lines: Sequence[Line]) -> list[Answer]:
    """Answer each body with itself; a body with `fail` is refused."""
    return [
        Answer(422 if "fail" in json.loads(line.body) else 200, line.body, tokens=2)
        for line in lines
    ]


@asynccontextmanager
async def running(desk: Desk, compute: Compute = echo, **changes: Any) -> AsyncIterator[Runner]:
    """Run a runner during the block."""
    work = Work(compute, 1000, lambda name: name != "unknown")
    runner = Runner(desk, work, Lifecycle(), Metrics(), **changes)
    task = asyncio.create_task(runner.run())
    try:
        yield runner
    finally:
        runner.end()
        task.cancel()
        await asyncio.wait({task})


def results(desk: Desk, file_id: str | None) -> list[Any]:
    """Return the parsed lines of a batch's result file."""
    assert file_id is not None
    return [json.loads(line) for line in desk.folder.place(file_id).read_bytes().splitlines()]
