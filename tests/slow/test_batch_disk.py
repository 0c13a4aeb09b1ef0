"""Batches on a full disk, and on a read-only one: real ones, as small file systems."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.batches import NEW, form, jsonl, request
from tools import client
from tools.process import Server, eventually

REQUESTS = 8000

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB; only root may mount one."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(path)], check=True)  # noqa: S607
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)  # noqa: S607


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(disk)], check=True)  # noqa: S607


def test_a_full_disk_keeps_a_batch_waiting_and_loses_nothing(
    tiny_model: Path, tmp_path: Path, disk: Path
) -> None:
    flags = ["--model-id", str(tiny_model), "--batch-dir", str(disk / "kept")]
    server = Server(*flags, log=tmp_path / "log")
    server.wait_ready()
    body, headers = form(jsonl([request(number) for number in range(REQUESTS)]))
    file = client.ask(server.port, "POST", "/v1/files", body, headers).json
    large, headers = form(b"x" * 5_000_000)
    refused = client.ask(server.port, "POST", "/v1/files", large, headers)
    assert (refused.status, refused.json["error"]["message"]) == (
        507, "The batch folder cannot be used: No space left on device"
    )  # fmt: skip
    batch_id = server.post("/v1/batches", {**NEW, "input_file_id": file["id"]}).json["id"]

    def now() -> Any:
        return server.get(f"/v1/batches/{batch_id}").json

    eventually(lambda: now()["errors"] is not None)
    waiting = now()
    assert waiting["status"] == "in_progress"
    assert waiting["request_counts"]["completed"] < REQUESTS
    remount(disk, "size=64m")
    eventually(lambda: now()["status"] == "completed")
    done = now()
    assert done["request_counts"] == {"total": REQUESTS, "completed": REQUESTS, "failed": 0}
    assert done["errors"] is None
    lines = server.get(f"/v1/files/{done['output_file_id']}/content").text.splitlines()
    places = [f'"custom_id": "r{number}"' in line for number, line in enumerate(lines)]
    assert (len(places), all(places)) == (REQUESTS, True)
    server.signal()
    assert server.process.wait(60) == 0

    remount(disk, "ro")
    second = Server(*flags, log=tmp_path / "log")
    assert second.process.wait(60) == 1
    assert (tmp_path / "log").read_text().splitlines()[-1] == (
        f"Error: --batch-dir (BATCH_DIR): {disk / 'kept'} cannot be written: Read-only file system"
    )
