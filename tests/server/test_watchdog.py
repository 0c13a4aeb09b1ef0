"""The watchdog: a process that stalls ends, and reports where it stalled."""

import http.client

import pytest

from tests.support.failing import START, post


@pytest.mark.slow
def test_an_event_loop_that_stalls_ends_the_process(start: START) -> None:
    server = start("loop-hangs")
    with pytest.raises(http.client.RemoteDisconnected):
        post(server, "query")
    output = server.output()
    assert server.process.returncode == 3
    assert "most recent call first" in output
    assert "tools/faulty.py" in output
    assert output.splitlines()[-1].endswith("exiting with code 3: the event loop stood still")


@pytest.mark.slow
def test_native_code_that_holds_the_interpreter_ends_the_process(start: START) -> None:
    server = start("interpreter-hangs")
    with pytest.raises(http.client.RemoteDisconnected):
        post(server, "query")
    output = server.output()
    assert server.process.returncode == 1
    assert "tools/faulty.py" in output
