"""Log lines of a server and of its requests, and their formats."""

import contextlib
import http.client
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.wire import client, embed
from tools import tiny
from tools.process import Server, free_port, start, wait_open


def wait_taken(server: Server) -> None:
    """Wait until connections are accepted, and not only open in the kernel."""
    with client(server) as connection:
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200


def test_the_log_has_the_settings_but_no_key(tiny_model: Path) -> None:
    environment = {"API_KEY": "hunter2", "HF_TOKEN": "hunter2", "LOG_LEVEL": "info,tower=debug"}
    running = Server(
        "--model-id", str(tiny_model), "--tokenization-workers", "2", environment=environment
    )
    running.wait_ready()
    wait_taken(running)
    running.signal()
    output = running.output()
    assert "api_key=***" in output
    assert "hunter2" not in output
    lines = (
        f"Maximum number of tokens per request: {tiny.MAX_LENGTH}",
        "Starting 2 tokenization workers",
        "Starting model backend",
        "Warming up model",
        f"Starting HTTP server: 127.0.0.1:{running.port}",
        "Ready",
        "signal received, starting graceful shutdown",
    )
    for line in lines:  # in TEI's words, which operators look for, and in its order
        assert line in output
    places = [output.index(line) for line in lines]
    assert places == sorted(places)


@pytest.mark.slow
@pytest.mark.parametrize("missing", ["1", "0 1 2", "full disk", "reader"])
def test_a_log_without_a_reader_changes_nothing(
    tiny_model: Path, tmp_path: Path, missing: str
) -> None:
    closed = [int(number) for number in missing.split() if number.isdigit()]
    reading, writing = os.pipe()
    os.close(reading)
    errors = tmp_path / "errors"
    port = free_port()

    def close() -> None:
        for number in closed:
            os.close(number)

    with (
        os.fdopen(writing, "w") as no_reader,
        Path("/dev/full").open("w") as full,
        errors.open("w") as err,
    ):
        process = start(
            [sys.executable, "-m", "app", "--model-id", str(tiny_model), "--port", str(port)],
            stdout=full if missing == "full disk" else no_reader,
            stderr=err,
            text=True,
            preexec_fn=close,
        )
    wait_open(port, process)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        for _ in range(3):
            embed(connection)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert errors.read_text() == ""


def test_a_filter_chooses_what_is_logged(tiny_model: Path) -> None:
    environment = {"LOG_LEVEL": "error,app.server=info"}
    running = Server("--model-id", str(tiny_model), environment=environment)
    running.wait_ready()
    running.signal()
    lines = running.output().splitlines()
    assert lines
    assert all(" INFO app.server: " in line for line in lines)


def test_an_invalid_log_level_counts_as_info(tiny_model: Path) -> None:
    running = Server("--model-id", str(tiny_model), environment={"LOG_LEVEL": "loud"})
    running.wait_ready()
    wait_taken(running)
    running.signal()
    output = running.output()
    assert "WARN app.telemetry.logs: the log level 'loud' is no filter; it counts as info" in output
    assert " INFO app.server: Ready" in output


def test_json_logs_are_one_object_a_line(tiny_model: Path) -> None:
    running = Server("--model-id", str(tiny_model), "--json-output")
    running.wait_ready()
    wait_taken(running)
    running.signal()
    events = [json.loads(line) for line in running.output().splitlines()]
    assert {"Ready", "signal received, starting graceful shutdown"} <= {
        e["message"] for e in events
    }


def test_each_computed_request_is_one_line_with_its_timings(tiny_model: Path) -> None:
    running = Server("--model-id", str(tiny_model), "--json-output")
    running.wait_ready()
    with client(running) as connection:
        embed(connection)
        connection.request("POST", "/embed", '{"inputs":""}', {"content-type": "application/json"})
        assert connection.getresponse().status == 400
    running.signal()
    events = [json.loads(line) for line in running.output().splitlines()]
    [success] = [event for event in events if event["message"] == "Success"]
    assert success["span"]["name"] == "embed"
    assert {"total_time", "tokenization_time", "queue_time", "inference_time"} < set(
        success["span"]
    )
    [error] = [event for event in events if event["level"] == "ERROR"]
    assert error["message"] == "Input validation error: `inputs` cannot be empty"
