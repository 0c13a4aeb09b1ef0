"""Folder: where files and batches are kept, for one process at a time.

`lock` is held by the process that works here. `batches.sqlite` says which files and batches there
are, and how far each batch is. `files/` holds the contents of files by their ids; one of which the
database knows nothing is what a crash has left.
"""

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path

from app.batches.store import Store
from app.errors import StartupError

_DATABASE = "batches.sqlite"
_FILES = "files"
_LOCK = "lock"


class Folder:
    """The folder of one process, with its store."""

    def __init__(self, path: Path) -> None:
        """Take the folder, or make it.

        Raises: StartupError if another process has it, it cannot be written, or it is damaged.
        """
        self._path = path
        try:
            (path / _FILES).mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR, 0o666)
        except OSError as error:
            raise _fault(path, f"cannot be written: {error.strerror}") from None
        with contextlib.ExitStack() as unless_taken:
            unless_taken.callback(os.close, self._lock)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                has_files = any((path / _FILES).iterdir())
                if has_files:
                    self._require_database()
                self.store = Store(path / _DATABASE, may_be_new=not has_files)
                self._remove_what_a_crash_left()
            except BlockingIOError:
                raise _fault(path, "is in use by another process: give each its own") from None
            except sqlite3.Error as error:
                raise _fault(
                    path,
                    f"has a {_DATABASE} that cannot be used ({error}): see that it can be "
                    "written, put a copy in its place, or name another folder",
                ) from None
            except OSError as error:
                raise _fault(path, f"cannot be written: {error.strerror}") from None
            unless_taken.pop_all()

    def place(self, file_id: str) -> Path:
        """Return the path of a file's content."""
        return self._path / _FILES / file_id

    def close(self) -> None:
        """Leave the folder to others."""
        self.store.close()
        os.close(self._lock)

    def _require_database(self) -> None:
        """Refuse to begin anew where there are files: without their rows they would be removed.

        An empty database is what a power cut leaves of one that is copied. SQLite would remove the
        log beside it.
        """
        database = self._path / _DATABASE
        if database.exists() and database.stat().st_size:
            return
        what = f"an empty {_DATABASE}" if database.exists() else f"no {_DATABASE}"
        raise _fault(self._path, f"has files but {what}: put it back, or name another folder")

    def _remove_what_a_crash_left(self) -> None:
        known = self.store.all_file_ids()
        for path in (self._path / _FILES).iterdir():
            if path.name not in known:
                path.unlink()


def sync(path: Path) -> None:
    """Return when a file, or the names in a folder, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def reason(error: OSError | sqlite3.Error) -> str:
    """Return why the folder cannot be used, without the paths of this machine."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return str(error)


def _fault(path: Path, what: str) -> StartupError:
    return StartupError(f"--batch-dir (BATCH_DIR): {path} {what}")
