"""Lines for a stalled reader: which are held, which are dropped, and in what order."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.telemetry.outlet import Outlet
from app.telemetry.standard_files import write
from tools.process import eventually

LINE = b"x" * 999 + b"\n"


class Pipe:
    """A pipe whose writing end does not block, as standard files are made."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        os.set_blocking(self.reading, False)

    def fill(self) -> None:
        """Fill it to the last byte."""
        for size in (4096, 1):
            try:
                while True:
                    os.write(self.writing, b"." * size)
            except BlockingIOError:
                pass

    def read(self) -> bytes:
        """Return its content, without what `fill` wrote."""
        found = b""
        try:
            while part := os.read(self.reading, 1 << 20):
                found += part
        except BlockingIOError:
            pass
        return found.lstrip(b".")


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    made = Pipe()
    yield made
    for number in (made.reading, made.writing):
        os.close(number)


def missing(lines: int) -> bytes:
    return b"%d are missing\n" % lines


def read_until(pipe: Pipe, end: bytes) -> bytes:
    found = b""

    def has_come() -> bool:
        nonlocal found
        found += pipe.read()
        return found.endswith(end)

    eventually(has_come, 30)
    return found


@pytest.mark.parametrize("threaded", [False, True])
def test_where_there_is_room_a_line_is_written_before_put_returns(
    pipe: Pipe, threaded: bool
) -> None:
    outlet = Outlet(pipe.writing, missing)
    if threaded:
        outlet.start()
    for word in (b"one\n", b"two\n"):
        outlet.put(word)
        assert pipe.read() == word
    assert (outlet.flush(1), outlet.dropped) == (True, 0)


@pytest.mark.parametrize("threaded", [False, True])
def test_lines_without_room_are_held_in_order_and_written_later(pipe: Pipe, threaded: bool) -> None:
    pipe.fill()
    outlet = Outlet(pipe.writing, missing)
    if threaded:
        outlet.start()
    lines = [b"%d %s" % (number, LINE * (1 + number % 9)) for number in range(50)]
    for line in lines:
        outlet.put(line)
    assert not outlet.flush(0.001)
    found = pipe.read()
    while not (done := outlet.flush(0.001)):
        found += pipe.read()
    found += pipe.read()
    assert done
    assert found == b"".join(lines)
    outlet.put(b"last\n")
    assert read_until(pipe, b"last\n") == b"last\n"
    assert outlet.dropped == 0


def test_excess_lines_are_dropped_and_one_line_in_their_place_counts_them(pipe: Pipe) -> None:
    pipe.fill()
    outlet = Outlet(pipe.writing, missing, held_bytes=10 * len(LINE))
    outlet.start()
    for _ in range(25):
        outlet.put(LINE)
    assert outlet.dropped == 15
    assert read_until(pipe, b"missing\n") == LINE * 10 + b"15 are missing\n"  # without another line
    outlet.put(b"next\n")
    assert read_until(pipe, b"next\n") == b"next\n"
    assert outlet.dropped == 15


def test_without_a_thread_the_next_line_finds_out_that_the_reader_is_back(pipe: Pipe) -> None:
    pipe.fill()
    outlet = Outlet(pipe.writing, missing, held_bytes=3 * len(LINE))
    for _ in range(5):
        outlet.put(LINE)
    pipe.read()
    outlet.put(b"next\n")  # dropped, since the held lines are not yet written
    assert pipe.read() == LINE * 3 + b"3 are missing\n"
    outlet.put(b"next\n")
    assert pipe.read() == b"next\n"


def test_a_line_that_is_larger_than_the_pipe_comes_whole(pipe: Pipe) -> None:
    outlet = Outlet(pipe.writing, missing)
    outlet.start()
    line = b"y" * 300_000 + b"\n"
    outlet.put(line)
    assert read_until(pipe, b"\n") == line


def test_a_reader_that_is_gone_costs_lines_and_nothing_else(pipe: Pipe) -> None:
    outlet = Outlet(pipe.writing, missing)
    outlet.start()
    os.close(pipe.reading)
    for _ in range(3):
        outlet.put(LINE)
    assert outlet.flush(1)
    assert outlet.dropped == 3
    pipe.reading = os.open(os.devnull, os.O_RDONLY)


def test_a_full_disk_is_reported_once_there_is_room_again(tmp_path: Path) -> None:
    number = os.open("/dev/full", os.O_WRONLY)
    try:
        outlet = Outlet(number, missing)
        outlet.put(b"lost\n")
        outlet.put(b"lost too\n")
        place = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
        os.dup2(place, number)
        os.close(place)
        outlet.put(b"next\n")
    finally:
        os.close(number)
    assert (tmp_path / "log").read_bytes() == b"next\n2 are missing\n"
    assert outlet.dropped == 2


def test_a_file_is_written_by_the_thread_in_order(tmp_path: Path) -> None:
    number = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    try:
        outlet = Outlet(number, missing)
        outlet.put(b"before\n")
        outlet.start()
        for count in range(100):
            outlet.put(b"%d\n" % count)
        assert outlet.flush(30)
    finally:
        os.close(number)
    assert (tmp_path / "log").read_text().split() == ["before", *map(str, range(100))]


@pytest.mark.parametrize("waits", [False, True])
def test_last_words_are_what_fits(pipe: Pipe, waits: bool) -> None:
    os.set_blocking(pipe.writing, waits)
    write(pipe.writing, b"z" * 1_000_000, 0.01)  # a blocking write would not end
    assert len(pipe.read()) == 65536
    os.set_blocking(pipe.writing, False)
    pipe.fill()
    os.set_blocking(pipe.writing, waits)
    write(pipe.writing, b"z", 0)
    assert pipe.read() == b""
