"""Progress: each change of a batch while it is computed, all or nothing.

Everything here runs on the thread of the store.
"""

from collections.abc import Mapping, Sequence

from app.batches import results
from app.batches.folder import Folder
from app.batches.input_lines import Line
from app.batches.objects import OUTPUT_PURPOSE, Batch, Fault, Status, StoredFile, in_json
from app.batches.results import Results
from app.batches.store import Value


class Progress:
    """Changes the batches of a folder; methods raise OSError and sqlite3.Error."""

    def __init__(self, folder: Folder) -> None:
        self._place = folder.place
        self._store = folder.store

    def validated(self, batch: Batch, total: int, model: str | None, now: int) -> None:
        """Begin a batch, unless it has been cancelled."""
        self._store.update(batch.id, total=total, model=model, in_progress_at=now)
        self._changed(batch, "in_progress")

    def computed(self, batch: Batch, now: int) -> None:
        """Note that the last line has a result, unless the batch has been cancelled."""
        self._changed(batch, "finalizing", finalizing_at=now)

    def note(self, batch: Batch, note: Mapping[str, int]) -> None:
        """Note which lines are about to be computed, or that they are not any more."""
        self._store.update(batch.id, **note)

    def keep(self, batch: Batch, lines: Sequence[Line], found: Results) -> None:
        """Write the results of the next lines, and then that they count.

        Raises: EOFError if earlier ones are not there any more.
        """
        assert batch.output_id is not None
        assert batch.error_id is not None
        output = results.append(self._place(batch.output_id), batch.output_bytes, found.output)
        errors = results.append(self._place(batch.error_id), batch.error_bytes, found.errors)
        self._store.update(
            batch.id,
            output_bytes=output,
            error_bytes=errors,
            next_byte=lines[-1].end,
            begun_byte=batch.begun_byte,
            begun_alone=0,
            completed=batch.completed + found.completed,
            failed=batch.failed + found.failed,
            uncomputed=batch.uncomputed + found.uncomputed,
            tokens=batch.tokens + found.tokens,
        )

    def fail(self, batch_id: str, faults: Sequence[Fault], now: int) -> None:
        """End a batch because of faults; what it has written becomes files."""
        batch = self._store.batch(batch_id)
        if batch is not None and not batch.has_ended:
            self._end(batch, "failed", now, errors=in_json(faults))

    def end(self, batch: Batch, status: Status, now: int) -> None:
        """End a batch: what it has written becomes files."""
        self._end(batch, status, now)

    def sweep(self, now: int) -> None:
        """Remove files whose time is over."""
        for file in self._store.expired_files(now):
            self._store.remove_file(file.id)
            self._place(file.id).unlink(missing_ok=True)

    def _changed(self, batch: Batch, status: Status, **changes: Value) -> None:
        now = self._store.batch(batch.id)
        if now is not None and now.status == batch.status:
            self._store.update(batch.id, status=status, **changes)

    def _end(self, batch: Batch, status: Status, now: int, **changes: Value) -> None:
        until = None if batch.output_seconds is None else now + batch.output_seconds
        files = [
            StoredFile(
                id=id_,
                owner=batch.owner,
                filename=f"{batch.id}_{kind}.jsonl",
                purpose=OUTPUT_PURPOSE,
                bytes=size,
                created_at=now,
                expires_at=until,
            )
            for kind, id_, size in (
                ("output", batch.output_id, batch.output_bytes),
                ("error", batch.error_id, batch.error_bytes),
            )
            if id_ is not None and size
        ]
        for file in files:
            results.cut(self._place(file.id), file.bytes)
        self._store.end(batch.id, {"status": status, f"{status}_at": now, **changes}, files)
