"""Fixtures: groups that start at their full size."""

import pytest

from app.batches import steps
from app.batches.input_lines import GROUP_LINES


@pytest.fixture
def whole_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Groups of GROUP_LINES from the start."""
    monkeypatch.setattr(steps, "FIRST_LINES", GROUP_LINES)
