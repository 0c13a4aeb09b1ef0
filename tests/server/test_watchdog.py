"""A process that stands still ends, and says where it stood."""

import http.client

import pytest

from tests.support.failing import START, post


@pytest.mark.slow
def test_an_event_loop_that_stands_still_ends_the_process(start: START) -> None:
    server = start("loop-hangs")
    with pytest.raises(http.client.RemoteDisconnected):
        post(server, "query")
    output = server.output()
    assert server.process.returncode == 3
    assert "most recent call first" in output
    assert "tools/faulty.py" in output
    assert output.splitlines()[-1].endswith("exiting with code 3: the event loop stood still")


@pytest.mark.slow
def test_native_code_that_lets_nobody_run_ends_the_process(start: START) -> None:
    server = start("interpreter-hangs")
    with pytest.raises(http.client.RemoteDisconnected):
        post(server, "query")
    output = server.output()
    assert server.process.returncode == 1
    assert "tools/faulty.py" in output
