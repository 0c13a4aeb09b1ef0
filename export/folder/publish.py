"""Publish: a model's folder, which appears whole or not at all, whatever kills the export.

A folder is made under a hidden name beside its place, and then renamed. The export holds a lock
until then. The system drops the lock if the process dies, so a hidden folder whose lock is free was
left by a killed export.
"""

import ctypes
import errno
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger(__name__)

_PARTIAL = ".partial"
_RETIRED = ".retired"
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def check_place(models_dir: Path) -> None:
    """Raise OSError if the folder of the exported models cannot be written; create nothing.

    To be called before a download and a conversion, which take minutes.
    """
    nearest = next(one for one in (models_dir, *models_dir.absolute().parents) if one.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(nearest))
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(nearest))


@contextmanager
def staging(models_dir: Path, name: str) -> Iterator[Path]:
    """Yield an empty hidden folder to make model `name` in; it is removed afterwards.

    Waits for another export of the same model, and removes what killed exports left.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    with _lock(models_dir, name):
        _recover(models_dir, name)
        _clear_others(models_dir, name)
        folder = models_dir / f".{name}{_PARTIAL}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, place: Path) -> None:
    """Move a staged folder of files to its place, durably; one already there is replaced."""
    for path in folder.iterdir():
        path.chmod(0o644)  # onnx makes its weights private, and the server may be another user
        _sync(path)
    folder.chmod(0o755)
    _sync(folder)
    if not place.exists():
        folder.rename(place)
    elif not exchange(folder, place):
        retired = place.with_name(f".{place.name}{_RETIRED}")
        place.rename(retired)
        folder.rename(place)
        shutil.rmtree(retired, ignore_errors=True)
    _sync(place.parent)


@contextmanager
def _lock(models_dir: Path, name: str) -> Iterator[None]:
    # Never removed: a second export could lock the removed file, and a third a new one.
    with (models_dir / f".{name}.lock").open("a") as stream:
        if not _try_lock(stream.fileno()):
            logger.info("waiting for another export of %s", name)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _recover(models_dir: Path, name: str) -> None:
    """Undo what an export of this model left unfinished; its lock must be held."""
    shutil.rmtree(models_dir / f".{name}{_PARTIAL}", ignore_errors=True)
    retired = models_dir / f".{name}{_RETIRED}"
    if retired.exists() and not (models_dir / name).exists():
        retired.rename(models_dir / name)
    shutil.rmtree(retired, ignore_errors=True)


def _clear_others(models_dir: Path, name: str) -> None:
    for lock in models_dir.glob(".*.lock"):
        other = lock.name.removeprefix(".").removesuffix(".lock")
        if other == name:
            continue
        with lock.open("a") as stream:
            if _try_lock(stream.fileno()):
                _recover(models_dir, other)


def exchange(left: Path, right: Path) -> bool:
    """Swap two folders in one step; return False if the system or the file system cannot.

    Raises: OSError if it can and the swap fails.
    """
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except AttributeError:
        return False
    names = (os.fsencode(left), os.fsencode(right))
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in {errno.ENOSYS, errno.EINVAL}:
        return False
    raise OSError(code, os.strerror(code), str(right))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
