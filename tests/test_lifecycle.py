"""Lifecycle: how the parts of a server learn of its end."""

from app.lifecycle import Lifecycle


def test_a_server_that_is_told_to_end_drains() -> None:
    lifecycle = Lifecycle()
    assert not lifecycle.draining
    lifecycle.end()
    assert lifecycle.draining
    assert lifecycle.failure is None


def test_a_failure_ends_it_and_keeps_its_reason() -> None:
    lifecycle = Lifecycle()
    lifecycle.fail("no run has come back")
    assert lifecycle.draining
    assert lifecycle.failure == "no run has come back"
