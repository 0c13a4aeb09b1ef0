"""Workspace: the folder that a start may write to, permanent or temporary.

The process that makes a temporary folder holds a lock on it. The system drops the lock with the
process, so an unlocked folder was left by a killed start, and the next start removes it.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app.errors import StartupError

logger = logging.getLogger(__name__)

_PREFIX = "embedding-service-"


class Workspace:
    """The folder that may be written to: the configured one, or a temporary one when needed."""

    def __init__(self, cache_dir: Path | None, stack: ExitStack) -> None:
        self._cache_dir = cache_dir
        self._stack = stack
        self._made: Path | None = None

    def folder(self) -> Path:
        """Return the folder, made when first asked for.

        Raises: StartupError naming the option.
        """
        if self._made is None:
            self._made = self._temporary() if self._cache_dir is None else self._kept()
        return self._made

    def _kept(self) -> Path:
        assert self._cache_dir is not None
        try:
            self._cache_dir.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartupError(
                f"{error.strerror} ({self._cache_dir}): see that --cache-dir can be written"
            ) from None
        return self._cache_dir.resolve()

    def _temporary(self) -> Path:
        logger.warning(
            "the model is prepared in a temporary folder, and again at the next start: name a "
            "folder to keep it in with --cache-dir"
        )
        try:
            return self._stack.enter_context(temporary_folder())
        except OSError as error:
            raise StartupError(
                f"there is no temporary folder to prepare the model in ({error.strerror}): name a "
                "folder that can be written with --cache-dir"
            ) from None


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Yield a fresh folder, and remove it after the block; first remove those of killed processes.

    Raises: OSError.
    """
    _remove_left(Path(tempfile.gettempdir()))
    folder, descriptor = _locked_folder()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def _locked_folder() -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with contextlib.suppress(FileNotFoundError):  # another start took it for one left behind
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if folder.exists():
                return folder, descriptor
            os.close(descriptor)


def _remove_left(parent: Path) -> None:
    """Remove folders whose processes are gone, but never another user's, nor a link's target."""
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid != os.geteuid():
                    continue
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                logger.info("removing %s, which a start that was killed has left", folder)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
