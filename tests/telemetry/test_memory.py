"""Memory: the limit of a control group, at whatever level it is set."""

import os
import resource
from pathlib import Path

import numpy as np
import pytest

from app.telemetry import memory

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_resident_memory_grows_with_written_pages() -> None:
    before = memory.resident_bytes()
    held = np.ones(4_000_000)
    assert memory.resident_bytes() - before > held.nbytes // 2


@pytest.mark.parametrize(
    ("own", "file", "text", "limit"),
    [
        ("0::/", "memory.max", "500000\n", 500_000),
        ("0::/", "memory.max", "max\n", MACHINE),
        ("0::/a/b", "a/memory.max", "600000\n", 600_000),
        ("0::/a/b", "a/b/memory.max", "600000\n", 600_000),
        ("0::/not/mounted/here", "memory.max", "700000\n", 700_000),
        ("4:memory:/", "memory/memory.limit_in_bytes", "800000\n", 800_000),
        ("4:cpu,memory:/a", "memory/a/memory.limit_in_bytes", "900000\n", 900_000),
        ("4:memory:/", "memory/memory.limit_in_bytes", "9223372036854771712\n", MACHINE),
        ("3:cpu:/", "memory.max", "1\n", MACHINE),
    ],
)
def test_the_smallest_limit_holds(
    tmp_path: Path, own: str, file: str, text: str, limit: int
) -> None:
    (tmp_path / "groups/a/b").mkdir(parents=True)
    path = tmp_path / "groups" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    (tmp_path / "own").write_text(f"{own}\n")
    assert memory.limit_bytes(tmp_path / "groups", tmp_path / "own") == limit


def test_a_shell_s_limit_holds_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (123_456, -1))
    assert memory.limit_bytes(tmp_path, tmp_path / "own") == 123_456
