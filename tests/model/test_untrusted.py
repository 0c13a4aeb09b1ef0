"""Untrusted files: read up to a size limit, and only plain files."""

import os
from pathlib import Path

import pytest

from app.model import untrusted


def test_a_file_is_read_up_to_its_bound(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"a" * 2**20)
    assert untrusted.read(path, 2**20) == b"a" * 2**20
    with pytest.raises(ValueError, match=r"it is larger than 0\.5 MiB"):
        untrusted.read(path, 2**19)


def test_pipes_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="it is not a plain file"):
        untrusted.read(tmp_path / "pipe")
    with pytest.raises(ValueError, match="it is not a plain file"):
        untrusted.require_plain(tmp_path)
    with pytest.raises(FileNotFoundError):
        untrusted.require_plain(tmp_path / "none")


def test_json_is_read_or_refused_as_a_value(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"a": [1]}')
    assert untrusted.read_json(path) == {"a": [1]}
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="it is nested too deeply"):
        untrusted.read_json(path)
    path.write_text("{")
    with pytest.raises(ValueError, match="Expecting"):
        untrusted.read_json(path)
