"""Store: which files and batches there are, in SQLite.

A change is on the disk when its method returns. Lives on one thread at a time.
"""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from app.batches.objects import ENDED, Batch, StoredFile

# Columns are the fields of the objects, and `number` is the order in which they were made.
_OPEN = f"status NOT IN ({', '.join(repr(one) for one in sorted(ENDED))})"
_TABLES = (
    """CREATE TABLE files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    filename TEXT NOT NULL, purpose TEXT NOT NULL, bytes INTEGER NOT NULL,
    created_at INTEGER NOT NULL, expires_at INTEGER
)""",
    """CREATE TABLE batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, owner TEXT NOT NULL,
    endpoint TEXT NOT NULL, input_file_id TEXT NOT NULL, metadata TEXT, output_seconds INTEGER,
    created_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, status TEXT NOT NULL, model TEXT,
    errors TEXT, output_id TEXT, error_id TEXT, output_bytes INTEGER NOT NULL,
    error_bytes INTEGER NOT NULL, next_byte INTEGER NOT NULL, begun_byte INTEGER NOT NULL,
    begun_alone INTEGER NOT NULL, total INTEGER NOT NULL, completed INTEGER NOT NULL,
    failed INTEGER NOT NULL, uncomputed INTEGER NOT NULL, tokens INTEGER NOT NULL,
    in_progress_at INTEGER, finalizing_at INTEGER, completed_at INTEGER, failed_at INTEGER,
    expired_at INTEGER, cancelling_at INTEGER, cancelled_at INTEGER
)""",
    "CREATE INDEX inputs ON batches (input_file_id)",
    f"CREATE INDEX open ON batches (number) WHERE {_OPEN}",
)
VERSION = 1  # version of the tables
Value = str | int | None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list: at most `limit` objects behind the one with the id `after`."""

    limit: int
    after: str | None = None
    order: Literal["asc", "desc"] = "desc"


class Store:
    """The tables of a folder's database; methods raise sqlite3.Error."""

    def __init__(self, path: Path, *, may_be_new: bool = True) -> None:
        """Open the database, or make it if that may be.

        Raises: sqlite3.Error if it is damaged, empty, or of a newer version.
        """
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.row_factory = sqlite3.Row
        try:
            self._prepare(may_be_new=may_be_new)
        except sqlite3.Error:
            self._database.close()
            raise

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def add_file(self, file: StoredFile) -> None:
        """Add a file."""
        self._insert("files", file)

    def file(self, id_: str, owner: str) -> StoredFile | None:
        """Return one of an owner's files, or None."""
        return next(map(_file, self._rows("files", "id = ? AND owner = ?", (id_, owner))), None)

    def files(self, owner: str, page: Page, purpose: str | None = None) -> list[StoredFile] | None:
        """Return a page of an owner's files, or None if the one before it is not there."""
        where, values = "owner = ?", [owner]
        if purpose is not None:
            where, values = f"{where} AND purpose = ?", [*values, purpose]
        rows = self._page("files", where, values, page)
        return None if rows is None else [_file(one) for one in rows]

    def all_file_ids(self) -> set[str]:
        """Return the ids of all files, and of those that open batches write to."""
        with_rows = {row["id"] for row in self._rows("files", "1", ())}
        open_ = self._rows("batches", _OPEN, ())
        return with_rows | {id_ for row in open_ for id_ in (row["output_id"], row["error_id"])}

    def expired_files(self, now: int) -> list[StoredFile]:
        """Return files whose time is over and that no open batch reads."""
        read = f"SELECT input_file_id FROM batches WHERE {_OPEN}"  # noqa: S608  # of our own
        where = f"expires_at <= ? AND id NOT IN ({read})"
        return [_file(one) for one in self._rows("files", where, (now,))]

    def reader(self, file_id: str) -> str | None:
        """Return the id of an open batch that reads a file, or None."""
        rows = self._rows("batches", f"input_file_id = ? AND {_OPEN}", (file_id,))
        return next((row["id"] for row in rows), None)

    def remove_file(self, id_: str) -> None:
        """Remove a file from the list."""
        self._database.execute("DELETE FROM files WHERE id = ?", (id_,))

    def add_batch(self, batch: Batch) -> None:
        """Add a batch."""
        self._insert("batches", batch)

    def batch(self, id_: str, owner: str | None = None) -> Batch | None:
        """Return a batch, if need be one of an owner's, or None."""
        where, values = (
            ("id = ?", [id_]) if owner is None else ("id = ? AND owner = ?", [id_, owner])
        )
        return next(map(_batch, self._rows("batches", where, values)), None)

    def batches(self, owner: str, page: Page) -> list[Batch] | None:
        """Return a page of an owner's batches, or None if the one before it is not there."""
        rows = self._page("batches", "owner = ?", [owner], page)
        return None if rows is None else [_batch(one) for one in rows]

    def next_open(self, after: str) -> Batch | None:
        """Return the open batch made next after the one of that id, else the oldest, or None."""
        later = "number > (SELECT number FROM batches WHERE id = ?)"
        first = f"{_OPEN} ORDER BY number LIMIT 1"
        found = self._rows("batches", f"{later} AND {first}", (after,))
        return next(map(_batch, found or self._rows("batches", first, ())), None)

    def open_of(self, owner: str) -> int:
        """Return how many open batches an owner has."""
        count = f"SELECT count(*) FROM batches WHERE {_OPEN} AND owner = ?"  # noqa: S608  # as above
        [[found]] = self._database.execute(count, (owner,))
        return int(found)

    def waiting(self) -> tuple[int, int]:
        """Return how many batches are open, and how many of their lines have no result yet."""
        lines = "coalesce(sum(total - completed - failed - uncomputed), 0)"
        both = f"SELECT count(*), {lines} FROM batches WHERE {_OPEN}"  # noqa: S608  # as above
        [[batches, waiting]] = self._database.execute(both)
        return batches, waiting

    def update(self, batch_id: str, **changes: Value) -> Batch:
        """Change columns of a batch, and return it."""
        return self.end(batch_id, changes, ())

    def end(
        self, batch_id: str, changes: Mapping[str, Value], files: Sequence[StoredFile]
    ) -> Batch:
        """Change columns of a batch and add its files, all or nothing; return the batch."""
        columns = ", ".join(f"{name} = ?" for name in changes)
        with self._transaction():
            for file in files:
                self._insert("files", file)
            self._database.execute(
                f"UPDATE batches SET {columns} WHERE id = ?",  # noqa: S608  # names of our own
                (*changes.values(), batch_id),
            )
        changed = self.batch(batch_id)
        assert changed is not None
        return changed

    def _prepare(self, *, may_be_new: bool) -> None:
        [[version]] = self._database.execute("PRAGMA user_version")
        if not (version or may_be_new):
            raise sqlite3.DatabaseError("it has no tables")
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "busy_timeout = 5000"):
            self._database.execute(f"PRAGMA {pragma}")
        [[found]] = self._database.execute("PRAGMA quick_check(1)")
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        if version > VERSION:
            raise sqlite3.DatabaseError("it is of a newer version of this service")
        with self._transaction():  # which fails here if nothing can be written
            for statement in () if version else _TABLES:
                self._database.execute(statement)
            self._database.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:  # whatever ended the block, nothing of it is kept
            if self._database.in_transaction:  # a full disk has ended it already
                self._database.execute("ROLLBACK")
            raise

    def _insert(self, table: str, row: StoredFile | Batch) -> None:
        names = [one.name for one in fields(row)]
        marks = ", ".join("?" for _ in names)
        self._database.execute(
            f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})",  # noqa: S608  # as above
            astuple(row),
        )

    def _rows(self, table: str, where: str, values: Sequence[Value]) -> list[sqlite3.Row]:
        query = f"SELECT * FROM {table} WHERE {where}"  # noqa: S608  # as above
        return self._database.execute(query, values).fetchall()

    def _page(
        self, table: str, where: str, values: Sequence[Value], page: Page
    ) -> list[sqlite3.Row] | None:
        sign = "<" if page.order == "desc" else ">"
        if page.after is not None:
            before = self._rows(table, f"id = ? AND {where}", [page.after, *values])
            if not before:
                return None
            where, values = f"{where} AND number {sign} ?", [*values, before[0]["number"]]
        return self._rows(
            table, f"{where} ORDER BY number {page.order} LIMIT ?", [*values, page.limit]
        )


def _file(row: sqlite3.Row) -> StoredFile:
    return StoredFile(**_columns(row))


def _batch(row: sqlite3.Row) -> Batch:
    return Batch(**_columns(row))


def _columns(row: sqlite3.Row) -> dict[str, Any]:
    return {name: row[name] for name in row.keys() if name != "number"}  # noqa: SIM118  # no mapping
