"""Standard files never block, and stay as they were for other processes that share them."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from app.telemetry.standard_files import may_wait, may_wait_for_ever, stop_waiting


def pipe(_: Path) -> list[int]:
    return [*reversed(os.pipe())]


def terminal(_: Path) -> list[int]:
    return [*reversed(os.openpty())]


def file(folder: Path) -> list[int]:
    return [os.open(folder / "log", os.O_WRONLY | os.O_CREAT)]


def device(_: Path) -> list[int]:
    return [os.open(os.devnull, os.O_WRONLY)]


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        (pipe, (True, True), (False, False)),
        (terminal, (True, True), (False, False)),
        (file, (True, False), (True, False)),
        (device, (False, False), (False, False)),
    ],
)
def test_only_our_own_writes_stop_waiting(
    kind: Callable[[Path], list[int]],
    before: tuple[bool, bool],
    after: tuple[bool, bool],
    tmp_path: Path,
) -> None:
    shared, *others = kind(tmp_path)
    ours = os.dup(shared)
    os.set_inheritable(ours, True)  # as standard files are
    try:
        assert (may_wait(ours), may_wait_for_ever(ours)) == before
        stop_waiting(ours)
        assert (may_wait(ours), may_wait_for_ever(ours)) == after
        assert (may_wait(shared), may_wait_for_ever(shared)) == before
        assert os.get_inheritable(ours)
        assert os.write(ours, b"written") == 7
    finally:
        for number in (shared, ours, *others):
            os.close(number)


def test_a_socket_is_opened_once_and_does_not_wait() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        stop_waiting(ours.fileno())
        assert not may_wait(ours.fileno())


def test_a_pipe_whose_reader_is_gone_does_not_block() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stop_waiting(writing)
    assert not may_wait(writing)
    os.close(writing)
