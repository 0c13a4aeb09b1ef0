"""Computed: batches on real servers, from upload to results, and across restarts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.batches import NEW, form, jsonl, request
from tools.client import Reply, ask
from tools.process import Server, eventually

Start = Callable[..., Server]


@pytest.fixture
def start(tiny_model: Path, tmp_path: Path) -> Start:
    """A factory of servers over one folder."""

    def started(*arguments: str) -> Server:
        kept = ("--batch-dir", str(tmp_path / "kept"))
        server = Server("--model-id", str(tiny_model), *kept, *arguments, log=tmp_path / "log")
        server.wait_ready()
        return server

    return started


def begin(server: Server, content: bytes) -> str:
    body, headers = form(content)
    file = ask(server.port, "POST", "/v1/files", body, headers).json
    batch = server.post("/v1/batches", {**NEW, "input_file_id": file["id"]}).json
    batch_id: str = batch["id"]
    return batch_id


def ended(server: Server, batch_id: str) -> Any:
    def has_ended() -> bool:
        found.update(server.get(f"/v1/batches/{batch_id}").json)
        return found["status"] in {"completed", "failed", "expired", "cancelled"}

    found: dict[str, Any] = {}
    eventually(has_ended)
    return found


def content(server: Server, file_id: str) -> list[Any]:
    reply: Reply = server.get(f"/v1/files/{file_id}/content")
    return [json.loads(line) for line in reply.content.splitlines()]


def test_a_batch_from_its_upload_to_its_results(start: Start) -> None:
    server = start()
    requests = [request(number, f"a b {number}") for number in range(300)]
    done = ended(server, begin(server, jsonl([*requests, request(300, "")])))
    assert done["request_counts"] == {"total": 301, "completed": 300, "failed": 1}
    good = content(server, done["output_file_id"])
    assert [one["custom_id"] for one in good] == [f"r{number}" for number in range(300)]
    alone = server.post("/v1/embeddings", requests[7]["body"]).json
    assert good[7]["response"]["body"]["data"][0]["embedding"] == pytest.approx(
        alone["data"][0]["embedding"], abs=1e-5
    )
    [bad] = content(server, done["error_file_id"])
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("r300", 400)
    metrics = server.get("/metrics").text
    for line in (
        'te_batches_requests{result="completed"} 300',
        'te_batches_requests{result="failed"} 1',
        'te_batches_ended{status="completed"} 1',
        'te_batches_ended{status="expired"} 0',
    ):
        assert line in metrics
    eventually(lambda: "te_batches_open 0" in server.get("/metrics").text)


@pytest.mark.slow
def test_a_batch_goes_on_after_sigterm(start: Start) -> None:
    server = start()
    batch_id = begin(server, jsonl([request(number) for number in range(6_000)]))
    eventually(
        lambda: server.get(f"/v1/batches/{batch_id}").json["request_counts"]["completed"] > 0
    )
    server.signal()
    assert server.process.wait(60) == 0
    server = start()
    done = ended(server, batch_id)
    assert done["request_counts"] == {"total": 6_000, "completed": 6_000, "failed": 0}
    ids = [one["custom_id"] for one in content(server, done["output_file_id"])]
    assert ids == [f"r{number}" for number in range(6_000)]


def test_two_servers_do_not_share_a_folder(start: Start, tiny_model: Path, tmp_path: Path) -> None:
    start()
    second = Server("--model-id", str(tiny_model), "--batch-dir", str(tmp_path / "kept"))
    last = second.output().splitlines()[-1]
    assert second.process.returncode == 1
    assert last == (
        f"Error: --batch-dir (BATCH_DIR): {tmp_path / 'kept'} is in use by another process: give "
        "each its own"
    )
