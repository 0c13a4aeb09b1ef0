"""Counting: a line of progress every few seconds, and none at the end."""

import threading
import time

import pytest

from app.proof import counting
from app.proof.counting import LINE_SECONDS, Counting, clocked


def test_a_line_is_printed_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    told: list[str] = []
    counted = Counting(400, "texts", told.append)
    counted.advance(40)
    now += LINE_SECONDS
    counted.advance(60)
    counted.advance(20)
    now += LINE_SECONDS
    counted.advance(80)
    now += LINE_SECONDS
    counted.advance(200)
    assert told == ["100 of 400 texts, about 15 s left", "200 of 400 texts, about 10 s left"]


def test_a_step_of_unknown_length_tells_how_long_it_has_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(counting, "LINE_SECONDS", 0.01)
    told: list[str] = []
    enough = threading.Event()

    def tell(line: str) -> None:
        told.append(line)
        if len(told) == 3:
            enough.set()

    with clocked("converting", tell):
        assert enough.wait(30)
    assert set(told) == {"converting: 0 s so far"}


def test_the_clock_of_a_step_ends_with_it_and_with_its_error() -> None:
    with pytest.raises(RuntimeError), clocked("converting", print):
        raise RuntimeError
    assert "clock" not in {thread.name for thread in threading.enumerate()}
