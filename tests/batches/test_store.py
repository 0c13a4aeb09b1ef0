"""Store: its queries, and that it refuses a database that it cannot read."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from app.batches.objects import Batch, StoredFile
from app.batches.store import VERSION, Page, Store
from tests.support.batches import ENDPOINT

FILE = StoredFile("file-1", "ann", "in.jsonl", "batch", 5, 10)
BATCH = Batch("batch_1", "ann", ENDPOINT, "file-1", None, None, 10, 20, output_id="o", error_id="e")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "db")
    yield made
    made.close()


def test_an_owner_sees_nothing_of_others(store: Store) -> None:
    store.add_file(FILE)
    store.add_batch(BATCH)
    assert store.file("file-1", "ann") == FILE
    assert store.batch("batch_1", "ann") == BATCH == store.batch("batch_1")
    assert (store.file("file-1", "bob"), store.batch("batch_1", "bob")) == (None, None)
    assert (store.files("bob", Page(9)), store.batches("bob", Page(9))) == ([], [])
    assert store.files("bob", Page(9, "file-1")) is None


def test_pages_lead_through_every_object_once(store: Store) -> None:
    ids = [f"file-{number}" for number in range(7)]
    for id_ in ids:
        store.add_file(replace(FILE, id=id_, purpose="batch" if id_ < "file-5" else "batch_output"))
    for order, expected in (("desc", ids[::-1]), ("asc", ids)):
        found: list[str] = []
        while True:
            after = found[-1] if found else None
            page = store.files("ann", Page(3, after, order))  # type: ignore[arg-type]  # both are
            assert page is not None
            if not page:
                break
            found += [one.id for one in page]
        assert found == expected
    of_one_kind = store.files("ann", Page(9), "batch_output")
    assert of_one_kind is not None
    assert [one.id for one in of_one_kind] == ["file-6", "file-5"]


def test_a_change_that_fails_half_way_changes_nothing(store: Store) -> None:
    store.add_file(FILE)
    store.add_batch(BATCH)
    with pytest.raises(sqlite3.IntegrityError):
        store.end("batch_1", {"status": "completed"}, [replace(FILE, id="new"), FILE])
    assert store.batch("batch_1") == BATCH
    assert store.file("new", "ann") is None
    assert store.end("batch_1", {"status": "completed"}, [replace(FILE, id="new")]).has_ended
    assert store.file("new", "ann") is not None


def test_files_in_use_do_not_expire(store: Store) -> None:
    store.add_file(replace(FILE, expires_at=5))
    store.add_batch(BATCH)
    assert (store.expired_files(9), store.reader("file-1")) == ([], "batch_1")
    assert store.all_file_ids() == {"file-1", "o", "e"}
    store.update("batch_1", status="failed")
    assert [one.id for one in store.expired_files(5)] == ["file-1"]
    assert store.expired_files(4) == []
    assert (store.reader("file-1"), store.all_file_ids()) == (None, {"file-1"})


def test_changes_survive_a_restart(tmp_path: Path) -> None:
    first = Store(tmp_path / "db")
    first.add_batch(BATCH)
    changed = first.update("batch_1", completed=3, status="in_progress")
    first.close()
    second = Store(tmp_path / "db")
    assert second.next_open("") == changed
    second.close()


@pytest.mark.parametrize("damage", ["text", "middle", "newer"])
def test_a_database_that_cannot_be_read_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "db"
    made = Store(path)
    for number in range(500):
        made.add_file(replace(FILE, id=f"file-{number}", filename="x" * 100))
    made.close()
    if damage == "text":
        path.write_bytes(b"this is no database" * 100)
    elif damage == "middle":
        content = bytearray(path.read_bytes())
        content[5000:20000] = b"\xff" * 15000
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as other:
            other.execute(f"PRAGMA user_version = {VERSION + 1}")
        other.close()
    with pytest.raises(sqlite3.DatabaseError):
        Store(path)


def test_open_batches_take_turns_round_robin(store: Store) -> None:
    assert store.next_open("") is None
    assert store.waiting() == (0, 0)
    for number in range(4):
        store.add_batch(replace(BATCH, id=f"batch_{number}", total=10, completed=number))
    store.add_batch(replace(BATCH, id="other", owner="bob"))
    store.update("batch_1", status="completed")
    turns, last = [], ""
    for _ in range(5):
        found = store.next_open(last)
        assert found is not None
        last = found.id
        turns.append(last)
    assert turns == ["batch_0", "batch_2", "batch_3", "other", "batch_0"]
    following = store.next_open("batch_1")
    assert following is not None
    assert following.id == "batch_2"  # although the one before it has ended
    assert store.waiting() == (4, 10 + 8 + 7)
    assert (store.open_of("ann"), store.open_of("bob"), store.open_of("eve")) == (3, 1, 0)
