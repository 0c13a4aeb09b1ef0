"""Folder: where a job's shards go, what it was, and how far it has come.

    part-00000.parquet            vectors with their ids; whole files only
    _rejected/part-00000.jsonl    rows without a vector and why, if there are any
    _job/job.json                 what makes the vectors what they are; written first
    _job/part-00000.json          which rows a part holds; written last: without it, it is none
    _job/unfinished/              files that are being written

It can be read as a dataset at any time: readers pass over names that begin with an underscore.
"""

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app.errors import StartupError

_JOB = "_job"
_REJECTED = "_rejected"
_UNFINISHED = "unfinished"
_DESCRIPTION = "job.json"
_LOCK = "lock"
_PART = re.compile(r"part-(\d{5,})\.")
_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Part:
    """A shard that is complete."""

    number: int
    first_row: int
    next_row: int  # the number of the row after its last one
    rows: int  # rows with a vector
    rejected: int


@dataclass(frozen=True, slots=True)
class Folder:
    """The folder of a job that this process alone writes to."""

    path: Path
    parts: tuple[Part, ...]  # complete parts when it was opened

    @property
    def next_row(self) -> int:
        """The first row that no part holds."""
        return self.parts[-1].next_row if self.parts else 0

    def unfinished(self, number: int, suffix: str) -> Path:
        """Return the path at which to write one of a part's files."""
        return self.path / _JOB / _UNFINISHED / _name(number, suffix)

    def place(self, number: int, suffix: str) -> None:
        """Move a file that has been written to its place, when all of it is on the disk."""
        _settle(self.unfinished(number, suffix), self.path / _name(number, suffix))

    def reject(self, number: int, lines: bytes) -> None:
        """Write a part's rejected rows."""
        folder = self.path / _REJECTED
        folder.mkdir(exist_ok=True)
        _write(self.path, lines, folder / _name(number, ".jsonl"))

    def complete(self, part: Part) -> None:
        """Declare a part whose files are in their places complete."""
        content = json.dumps(asdict(part)) + "\n"
        _write(self.path, content.encode(), self.path / _JOB / _name(part.number, ".json"))


@contextmanager
def claimed(path: Path) -> Iterator[Path]:
    """Make a folder if there is none, and keep other jobs out of it.

    Raises: StartupError if it is in use, holds something else, or cannot be written.
    """
    try:
        _require_free(path)
        (path / _JOB / _UNFINISHED).mkdir(parents=True, exist_ok=True)
        lock = os.open(path / _JOB / _LOCK, os.O_CREAT | os.O_RDWR, 0o666)
    except OSError as error:
        raise _unwritable(path, error) from None
    try:
        _lock(path, lock)
        yield path
    finally:
        os.close(lock)


def opened(
    path: Path,
    job: Mapping[str, Any],
    options: Mapping[str, str] = _NO_OPTIONS,
    *,
    resume: bool,
) -> Folder:
    """Open a claimed folder for a job, or for the rest of it.

    Raises: StartupError if it holds another job, naming the option behind the difference, or if it
    cannot be written.
    """
    try:
        _require_job(path, job, options, resume=resume)
        parts = _parts(path / _JOB)
        _remove_others(path, len(parts))
    except OSError as error:
        raise _unwritable(path, error) from None
    return Folder(path, parts)


def _unwritable(path: Path, error: OSError) -> StartupError:
    return StartupError(f"--output {path} cannot be written: {error.strerror}")


def _write(root: Path, content: bytes, path: Path) -> None:
    """Write a small file so that it appears whole or not at all, also after a power cut."""
    unfinished = root / _JOB / _UNFINISHED / f"{path.parent.name}-{path.name}"
    unfinished.write_bytes(content)
    _settle(unfinished, path)


def _name(number: int, suffix: str) -> str:
    return f"part-{number:05}{suffix}"


def _settle(unfinished: Path, path: Path) -> None:
    _sync(unfinished)
    unfinished.rename(path)
    _sync(path.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _lock(path: Path, lock: int) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StartupError(f"--output {path} is in use by another job: wait for it") from None


def _require_free(path: Path) -> None:
    """Refuse a folder that holds something else than a job."""
    held = sorted(one.name for one in path.iterdir()) if path.exists() else []
    if held and _JOB not in held:
        raise StartupError(f"--output {path} holds {held[0]}, and no job: name an empty folder")


def _require_job(
    path: Path, job: Mapping[str, Any], options: Mapping[str, str], *, resume: bool
) -> None:
    """Write what the job is, or check that the folder holds this very job."""
    described = path / _JOB / _DESCRIPTION
    wanted = json.loads(json.dumps(job))
    if not described.exists():
        _require_no_part(path)
        _write(path, (json.dumps(wanted, indent=1) + "\n").encode(), described)
        return
    if not resume:
        raise StartupError(
            f"--output {path} holds a job: --resume goes on with it; or name another folder"
        )
    try:
        found = json.loads(described.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StartupError(f"{described} cannot be read: {error}") from None
    for name, value in wanted.items():
        if found.get(name) != value:
            option = f" ({options[name]})" if name in options else ""
            raise StartupError(
                f"--output {path} holds another job: its {name}{option} is {found.get(name)!r}, "
                f"not {value!r}; name another folder"
            )


def _require_no_part(path: Path) -> None:
    """Refuse parts of a job that nothing describes: another one must not go on after them."""
    for folder in (path, path / _REJECTED, path / _JOB):
        for one in sorted(folder.iterdir()) if folder.exists() else ():
            if _PART.match(one.name):
                raise StartupError(
                    f"--output {path} holds {one.relative_to(path)}, and no {_JOB}/{_DESCRIPTION} "
                    "that says of which job: name another folder"
                )


def _parts(folder: Path) -> tuple[Part, ...]:
    """Return the complete parts, which follow each other without a gap."""
    parts: list[Part] = []
    while (marker := folder / _name(len(parts), ".json")).exists():
        try:
            part = Part(**json.loads(marker.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise StartupError(f"{marker} cannot be read: {error}") from None
        if part.first_row != (parts[-1].next_row if parts else 0):
            raise StartupError(f"{marker} does not follow the part before it: it was changed")
        parts.append(part)
    return tuple(parts)


def _remove_others(path: Path, complete: int) -> None:
    """Remove what an interrupted job left of parts that were never completed."""
    for one in (path / _JOB / _UNFINISHED).iterdir():
        one.unlink()
    for folder in (path, path / _REJECTED):
        for one in folder.iterdir() if folder.exists() else ():
            found = _PART.match(one.name)
            if found and int(found[1]) >= complete:
                one.unlink()
