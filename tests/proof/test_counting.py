"""Counting: a line when the last one is old, and none at the end."""

import time

import pytest

from app.proof.counting import LINE_SECONDS, Counting


def test_a_line_is_told_every_few_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    told: list[str] = []
    counting = Counting(400, "texts", told.append)
    counting.advance(40)
    now += LINE_SECONDS
    counting.advance(60)
    counting.advance(20)
    now += LINE_SECONDS
    counting.advance(80)
    now += LINE_SECONDS
    counting.advance(200)
    assert told == ["100 of 400 texts, about 15 s left", "200 of 400 texts, about 10 s left"]
