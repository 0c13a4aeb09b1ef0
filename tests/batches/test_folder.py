"""Folder: one process at a time, one clear line for every fault, and no litter."""

import asyncio
import errno
import os
import sqlite3
from pathlib import Path

import pytest

from app.batches.folder import Folder, reason, sync
from app.errors import StartupError
from tests.support.batches import begun, opened


def fault(path: Path) -> str:
    with pytest.raises(StartupError) as caught:
        Folder(path)
    message = str(caught.value)
    assert message.startswith(f"--batch-dir (BATCH_DIR): {path} ")
    assert "\n" not in message
    return message


def test_a_folder_is_made_and_left(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    for _ in range(2):
        Folder(path).close()
    assert (path / "files").is_dir()


def test_two_processes_do_not_share_one(tmp_path: Path) -> None:
    first = Folder(tmp_path)
    assert "is in use by another process" in fault(tmp_path)
    first.close()
    Folder(tmp_path).close()


def test_a_damaged_database_is_refused_and_no_file_is_touched(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        batch = asyncio.run(begun(desk, b"x"))
    database = tmp_path / "batches.sqlite"
    database.write_bytes(b"no database" * 1000)
    assert "batches.sqlite that cannot be used (file is not a database)" in fault(tmp_path)
    database.unlink()
    assert "has files but no batches.sqlite" in fault(tmp_path)
    assert (tmp_path / "files" / batch.input_file_id).read_bytes() == b"x"


def test_an_empty_database_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        batch = asyncio.run(begun(desk, b"x"))
    database, log = tmp_path / "batches.sqlite", tmp_path / "batches.sqlite-wal"
    database.write_bytes(b"")
    log.write_bytes(b"what was not in the database yet")
    assert "has files but an empty batches.sqlite" in fault(tmp_path)
    assert database.read_bytes() == b""
    assert log.read_bytes() == b"what was not in the database yet"
    assert (tmp_path / "files" / batch.input_file_id).read_bytes() == b"x"


def test_a_database_without_tables_is_refused_beside_files(tmp_path: Path) -> None:
    Folder(tmp_path).close()
    database = tmp_path / "batches.sqlite"
    database.unlink()
    with sqlite3.connect(database) as other:
        other.execute("CREATE TABLE a (b)")
    other.close()
    content = database.read_bytes()
    (tmp_path / "files" / "file-1").write_bytes(b"x")
    assert "batches.sqlite that cannot be used (it has no tables)" in fault(tmp_path)
    assert database.read_bytes() == content
    assert (tmp_path / "files" / "file-1").read_bytes() == b"x"


def test_an_empty_database_without_files_is_begun(tmp_path: Path) -> None:
    (tmp_path / "batches.sqlite").touch()
    Folder(tmp_path).close()
    Folder(tmp_path).close()


def test_a_folder_that_takes_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    assert fault(tmp_path).endswith("cannot be written: Read-only file system")


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert fault(tmp_path / "file").endswith("cannot be written: Not a directory")


def test_files_without_a_row_are_removed(tmp_path: Path) -> None:
    with opened(tmp_path) as desk:
        batch = asyncio.run(begun(desk, b"x"))
        assert batch.output_id is not None
        desk.folder.place(batch.output_id).write_bytes(b"so far")
        desk.new_place().write_bytes(b"half an upload")
    with opened(tmp_path):
        left = {path.name for path in (tmp_path / "files").iterdir()}
    assert left == {batch.input_file_id, batch.output_id}


def test_a_file_and_a_folder_can_be_synced(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    sync(tmp_path / "file")
    sync(tmp_path)


def test_reasons_tell_no_paths() -> None:
    assert reason(OSError(errno.ENOSPC, "No space left on device", "/data/x")) == (
        "No space left on device"
    )
    assert reason(OSError()) == "OSError"
    assert reason(sqlite3.OperationalError("disk I/O error")) == "disk I/O error"
