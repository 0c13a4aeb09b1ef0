"""Processes with a fault in a thread: clients are answered, and a supervisor gets the exit code."""

import contextlib
import http.client

import pytest

from tests.support.failing import START, post
from tools.process import Server, eventually

PROBES = ("/health", "/readyz", "/livez")


def get(server: Server, path: str) -> int:
    return server.get(path).status


def test_a_run_that_hangs_is_survived_once(start: START) -> None:
    server = start("run-hangs")
    status, text = post(server, "query")
    assert (status, "a run took longer than 0.5 seconds" in text) == (424, True)
    assert post(server, "cat")[0] == 200
    assert [get(server, path) for path in PROBES] == [200] * 3
    server.signal()
    server.output()
    assert server.process.returncode == 0


@pytest.mark.slow
def test_runs_that_hang_again_end_the_process(start: START) -> None:
    server = start("run-hangs")
    assert post(server, "query")[0] == 424
    assert post(server, "query")[0] == 424
    lines = server.output().splitlines()
    assert server.process.returncode == 3
    assert lines[-1].endswith(
        "exiting with code 3: the batching worker ended: "
        "two runs did not end when they were told to"
    )


def test_a_run_that_raises_costs_one_request(start: START) -> None:
    server = start("run-raises")
    assert post(server, "query")[0] == 424
    assert post(server, "cat")[0] == 200
    assert [get(server, path) for path in PROBES] == [200] * 3


def test_a_lost_device_ends_the_process_and_says_so_last(start: START) -> None:
    server = start("device-is-lost")
    assert post(server, "cat")[0] == 200
    status, text = post(server, "query")
    assert (status, "CUDA failure 700" in text) == (424, True)
    lines = server.output().splitlines()
    assert server.process.returncode == 3
    assert lines[-1].endswith(
        "exiting with code 3: the batching worker ended: "
        "CUDA failure 700: an illegal memory access was encountered ; GPU=0"
    )


def test_a_tokenizer_that_raises_costs_one_request(start: START) -> None:
    server = start("tokenizer-raises")
    assert post(server, "query")[0] == 500
    assert post(server, "cat")[0] == 200


def test_a_tokenizer_that_hangs_ends_the_process(start: START) -> None:
    server = start("tokenizer-hangs")
    # A single short text would be encoded on the event loop, and not in the pool.
    status, text = post(server, "query " * 100)
    assert (status, "took longer than 0.5 s" in text) == (422, True)
    lines = server.output(60).splitlines()
    assert server.process.returncode == 3
    assert "exiting with code 3: a thread of the tokenizer has not come back for" in lines[-1]


@pytest.mark.slow
def test_a_lost_thread_of_the_tokenizer_is_noticed_though_short_requests_succeed(
    start: START,
) -> None:
    # The output is not read here: a line for each request would fill the pipe.
    server = start("tokenizer-hangs", "--log-level", "error")
    assert post(server, "query " * 100)[0] == 422
    with contextlib.suppress(OSError, http.client.HTTPException):
        while post(server, "cat")[0] == 200:  # alone, so it is encoded on the event loop
            pass
    assert "exiting with code 3: a thread of the tokenizer has not come" in server.output(60)
    assert server.process.returncode == 3


def test_a_worker_that_dies_answers_everyone_and_ends_the_process(start: START) -> None:
    server = start("worker-dies")
    status, text = post(server, "query")
    assert (status, "the batching worker ended: MemoryError" in text) == (424, True)
    lines = server.output().splitlines()
    assert server.process.returncode == 3
    assert "exiting with code 3: the batching worker ended: MemoryError" in lines[-1]


def test_a_request_that_outlasts_the_shutdown_is_lost_and_the_exit_code_says_so(
    start: START,
) -> None:
    server = start("run-hangs", "--run-timeout-seconds", "60", "--shutdown-seconds", "0.5")
    with server.connect() as connection:
        connection.sendall(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b'Content-Length: 18\r\n\r\n{"inputs":"query"}'
        )
        eventually(lambda: "te_permits_taken 1" in server.get("/metrics").text)
        server.signal()
        output = server.output()
    assert server.process.returncode == 1
    assert "shutdown took too long: 1 requests lost" in output
    assert "Traceback" not in output


def test_an_error_in_a_connection_at_the_end_spoils_no_exit_code(start: START) -> None:
    server = start("connection-breaks")
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as resting:
        resting.request("GET", "/livez")
        assert resting.getresponse().status == 200
        server.signal()
        output = server.output()
    assert server.process.returncode == 0
    assert "a connection ended with an error" in output
