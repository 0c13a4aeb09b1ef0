"""A job's progress on a terminal, and in a log."""

import io
import logging
import sys

import pytest

from app.bulk import progress
from app.bulk.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    read = [0]
    told = Progress(1000, lambda: read[0])
    read[0] = 500
    told.advance(1234, 5000)
    told.close()
    last = terminal.getvalue().split("\r")[-1]
    assert last.startswith(" 50%|")
    assert "| 1,234 rows, " in last
    assert "tokens/s, " in last
    assert " left" in last


def test_a_line_now_and_then_elsewhere(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    read = [0]
    told = Progress(1000, lambda: read[0])
    with caplog.at_level(logging.INFO):
        read[0] = 250
        told.advance(10, 50)
        assert not caplog.messages  # it is too soon
        monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
        told.advance(10, 50)
    told.close()
    [line] = caplog.messages
    assert line.startswith("20 rows, ")
    assert line.endswith(" tokens/s, 25% of the inputs read, about 0 h 00 min left")
