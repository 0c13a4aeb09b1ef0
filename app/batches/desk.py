"""Desk: the operations of clients on files and batches, each on those of its own key only.

Everything happens on one thread, which waits for the disk in place of the event loop.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from app.batches.folder import Folder, sync
from app.batches.objects import (
    INPUT_PURPOSE,
    Batch,
    BatchError,
    StoredFile,
    new_batch_id,
    new_file_id,
)
from app.batches.store import Page

T = TypeVar("T")

WINDOW_SECONDS = 24 * 3600
MOST_OPEN = 100  # open batches per owner, since each waits for the turns of all others
_CANCELLABLE = frozenset({"validating", "in_progress", "cancelling"})


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that has been uploaded to `path`."""

    path: Path
    owner: str
    filename: str
    bytes: int
    seconds: int | None  # seconds to keep it


@dataclass(frozen=True, slots=True)
class NewBatch:
    """A batch that a client asks for."""

    owner: str
    endpoint: str
    input_file_id: str
    metadata: Mapping[str, str] | None
    output_seconds: int | None  # seconds to keep its results


class Desk:
    """The files and batches of one folder; methods raise BatchError, OSError and sqlite3.Error."""

    def __init__(self, path: Path) -> None:
        """Take the folder.

        Raises: StartupError if that is not possible.
        """
        self.folder = Folder(path)
        self._store = self.folder.store
        self._thread = ThreadPoolExecutor(1, "batches")
        self.changed = asyncio.Event()  # a batch was made or cancelled
        self.troubles: dict[str, str] = {}  # why an open batch does not go on, by its id

    async def do(self, act: Callable[[], T]) -> T:
        """Return what `act` returns on the thread of the store."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, act)

    def close(self) -> None:
        """Finish what was begun, and leave the folder to others."""
        self._thread.submit(self.folder.close)
        self._thread.shutdown()

    def new_place(self) -> Path:
        """Return where to write an upload."""
        return self.folder.place(new_file_id())

    async def add_file(self, new: NewFile) -> StoredFile:
        """Add an uploaded file, all of which is on the disk when this returns.

        What was uploaded is removed if that fails. Cancelling this stops nothing.
        """
        return await asyncio.shield(self.do(partial(self._add_file, new)))

    async def file(self, id_: str, owner: str) -> StoredFile:
        """Return a file. Raises: BatchError if the owner has none of that id."""
        return await self.do(partial(self._file, id_, owner))

    async def files(self, owner: str, page: Page, purpose: str | None) -> list[StoredFile]:
        """Return a page of the owner's files. Raises: BatchError."""
        found = await self.do(partial(self._store.files, owner, page, purpose))
        return _known(found, page)

    async def remove_file(self, id_: str, owner: str) -> None:
        """Remove a file. Raises: BatchError if it is not there, or a batch reads it."""
        await self.do(partial(self._remove_file, id_, owner))

    async def add_batch(self, new: NewBatch) -> Batch:
        """Add a batch, which is computed soon. Raises: BatchError, as for one too many."""
        batch = await self.do(partial(self._add_batch, new))
        self.changed.set()
        return batch

    async def batch(self, id_: str, owner: str) -> Batch:
        """Return a batch. Raises: BatchError if the owner has none of that id."""
        return await self.do(partial(self._batch, id_, owner))

    async def batches(self, owner: str, page: Page) -> list[Batch]:
        """Return a page of the owner's batches. Raises: BatchError."""
        return _known(await self.do(partial(self._store.batches, owner, page)), page)

    async def cancel(self, id_: str, owner: str) -> Batch:
        """Begin to cancel a batch. Raises: BatchError if it has ended, or is about to."""
        batch = await self.do(partial(self._cancel, id_, owner))
        self.changed.set()
        return batch

    # Everything below runs on the thread.

    def _add_file(self, new: NewFile) -> StoredFile:
        now = int(time.time())
        until = None if new.seconds is None else now + new.seconds
        file = StoredFile(
            id=new.path.name,
            owner=new.owner,
            filename=new.filename,
            purpose=INPUT_PURPOSE,
            bytes=new.bytes,
            created_at=now,
            expires_at=until,
        )
        with contextlib.ExitStack() as unless_added:
            unless_added.callback(new.path.unlink, missing_ok=True)
            sync(new.path)
            sync(new.path.parent)
            self._store.add_file(file)
            unless_added.pop_all()
        return file

    def _file(self, id_: str, owner: str) -> StoredFile:
        file = self._store.file(id_, owner)
        if file is None:
            raise BatchError(404, f"No such File object: {id_}", param="id")
        return file

    def _remove_file(self, id_: str, owner: str) -> None:
        self._file(id_, owner)
        if (reader := self._store.reader(id_)) is not None:
            raise BatchError(400, f"{id_} is the input of {reader}, which has not ended yet")
        self._store.remove_file(id_)
        self.folder.place(id_).unlink(missing_ok=True)

    def _add_batch(self, new: NewBatch) -> Batch:
        file = self._store.file(new.input_file_id, new.owner)
        if file is None or file.purpose != INPUT_PURPOSE:
            known = "No such File object" if file is None else "Not a file with purpose 'batch'"
            status = 404 if file is None else 400
            raise BatchError(status, f"{known}: {new.input_file_id}", param="input_file_id")
        if self._store.open_of(new.owner) >= MOST_OPEN:
            message = f"You have {MOST_OPEN} batches that have not ended; wait, or cancel one."
            raise BatchError(429, message, code="rate_limit_exceeded")
        now = int(time.time())
        batch = Batch(
            id=new_batch_id(),
            owner=new.owner,
            endpoint=new.endpoint,
            input_file_id=file.id,
            metadata=None if new.metadata is None else json.dumps(new.metadata),
            output_seconds=new.output_seconds,
            created_at=now,
            expires_at=now + WINDOW_SECONDS,
            output_id=new_file_id(),
            error_id=new_file_id(),
        )
        self._store.add_batch(batch)
        return batch

    def _batch(self, id_: str, owner: str) -> Batch:
        batch = self._store.batch(id_, owner)
        if batch is None:
            raise BatchError(404, f"No batch found with id '{id_}'.", param="batch_id")
        return batch

    def _cancel(self, id_: str, owner: str) -> Batch:
        batch = self._batch(id_, owner)
        if batch.status not in _CANCELLABLE:
            raise BatchError(400, f"Cannot cancel a batch with status '{batch.status}'.")
        if batch.status == "cancelling":
            return batch
        return self._store.update(id_, status="cancelling", cancelling_at=int(time.time()))


def _known(found: list[T] | None, page: Page) -> list[T]:
    if found is None:
        raise BatchError(400, f"There is no '{page.after}' to begin after.", param="after")
    return found
