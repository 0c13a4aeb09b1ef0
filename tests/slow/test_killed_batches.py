"""A batch whose server is killed again and again."""

import json
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.support.batches import NEW, form, jsonl, request
from tools import client, texts
from tools.process import Server, eventually

REQUESTS = 30_000
KILLS, FIRST_KILLS = 20, 3

pytestmark = pytest.mark.slow


def test_a_server_that_is_killed_at_any_moment_loses_and_repeats_nothing(
    tiny_model: Path, tmp_path: Path
) -> None:
    choose = random.Random(1)

    def started() -> Server:
        folder = ("--batch-dir", str(tmp_path / "kept"))
        model = ("--model-id", str(tiny_model), "--provider", "cpu")
        server = Server(*model, *folder, log=tmp_path / "log")
        server.wait_ready()
        return server

    def kill(server: Server) -> None:
        server.process.kill()
        assert server.process.wait() == -signal.SIGKILL

    server = started()
    words = texts.passages(REQUESTS, 20)
    # Every hundredth line has no text.
    requests = [request(number, text if number % 100 else "") for number, text in enumerate(words)]
    body, headers = form(jsonl(requests))
    file = client.ask(server.port, "POST", "/v1/files", body, headers).json
    batch_id = server.post("/v1/batches", {**NEW, "input_file_id": file["id"]}).json["id"]
    done: list[int] = []
    for place in range(KILLS):
        # The first moments are those of reading it, the others of computing it.
        if place >= FIRST_KILLS:
            eventually(partial(_has_more, server, batch_id, max(done)))
        time.sleep(choose.uniform(0, 0.1 if place < FIRST_KILLS else 0.5))
        done.append(_counted(server, batch_id))
        kill(server)
        server = started()
    assert done[-1] < 2 * REQUESTS, "it had ended before the last kill"
    eventually(lambda: _of(server, batch_id)["status"] == "completed")
    batch = _of(server, batch_id)
    assert batch["request_counts"] == {
        "total": REQUESTS, "completed": REQUESTS * 99 // 100, "failed": REQUESTS // 100
    }  # fmt: skip
    good, bad = (_lines(server, batch[f"{name}_file_id"]) for name in ("output", "error"))
    assert [one["custom_id"] for one in good] == [f"r{n}" for n in range(REQUESTS) if n % 100]
    assert [one["custom_id"] for one in bad] == [f"r{n}" for n in range(0, REQUESTS, 100)]
    assert len({one["id"] for one in good + bad}) == REQUESTS
    assert all(one["response"]["status_code"] == 200 for one in good)


def _of(server: Server, batch_id: str) -> Any:
    return server.get(f"/v1/batches/{batch_id}").json


def _counted(server: Server, batch_id: str) -> int:
    """Return the numbers of its requests, of those answered, and of those failed."""
    return sum(_of(server, batch_id)["request_counts"].values())


def _has_more(server: Server, batch_id: str, than: int) -> bool:
    return _counted(server, batch_id) > than


def _lines(server: Server, file_id: str) -> list[Any]:
    content = server.get(f"/v1/files/{file_id}/content").content
    return [json.loads(line) for line in content.splitlines()]
