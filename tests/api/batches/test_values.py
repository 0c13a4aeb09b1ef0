"""Values: limits on what a client may attach."""

from typing import Any

import pytest

from app.api.batches.values import expiry, metadata
from app.batches.objects import BatchError


@pytest.mark.parametrize(
    "value", [None, {}, {"k" * 64: "v" * 512}, {str(number): "" for number in range(16)}]
)
def test_pairs_that_may_be_attached(value: Any) -> None:
    assert metadata(value) == value


@pytest.mark.parametrize(
    "value",
    ["a", 5, {"a": 5}, {"k" * 65: ""}, {"k": "v" * 513}, {str(number): "" for number in range(17)}],
)
def test_pairs_that_may_not(value: Any) -> None:
    with pytest.raises(BatchError, match="at most 16 pairs"):
        metadata(value)


@pytest.mark.parametrize("seconds", [3600, 2_592_000])
def test_times_that_a_file_may_be_kept(seconds: int) -> None:
    assert expiry({"anchor": "created_at", "seconds": seconds}, "x") == seconds


@pytest.mark.parametrize("seconds", [3599, 2_592_001, "3600", True, None, 3600.0])
def test_times_that_it_may_not(seconds: Any) -> None:
    with pytest.raises(BatchError, match="'x' must have the anchor"):
        expiry({"anchor": "created_at", "seconds": seconds}, "x")
