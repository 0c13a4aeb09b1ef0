"""The folder of a job: which job owns it, and how far that job has come."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.bulk.writing.folder import Folder, Part, claimed, opened
from app.errors import StartupError

JOB = {"fingerprint": "f", "columns": ("text", None)}


def complete(folder: Folder, number: int, first: int, count: int) -> None:
    folder.unfinished(number, ".npy").write_bytes(b"vectors")
    folder.place(number, ".npy")
    folder.reject(number, b"{}\n")
    folder.complete(Part(number, first, first + count, count, 0))


def refusal(path: Path, job: dict[str, Any] = JOB, *, resume: bool = True) -> str:
    with pytest.raises(StartupError) as raised:
        opened(path, job, resume=resume)
    return str(raised.value)


def test_a_new_job_begins_with_the_first_row(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out"
    with claimed(path):
        folder = opened(path, JOB, resume=False)
    assert (folder.parts, folder.next_row) == ((), 0)
    assert json.loads((path / "_job" / "job.json").read_text()) == {
        "fingerprint": "f",
        "columns": ["text", None],
    }


def test_a_resumed_job_goes_on_after_its_last_part(tmp_path: Path) -> None:
    with claimed(tmp_path):
        folder = opened(tmp_path, JOB, resume=True)  # an empty folder is fine to resume
        complete(folder, 0, 0, 10)
        complete(folder, 1, 10, 5)
    with claimed(tmp_path):
        folder = opened(tmp_path, JOB, resume=True)
    assert folder.parts == (Part(0, 0, 10, 10, 0), Part(1, 10, 15, 5, 0))
    assert folder.next_row == 15


def test_leftovers_of_a_killed_job_are_removed(tmp_path: Path) -> None:
    with claimed(tmp_path):
        folder = opened(tmp_path, JOB, resume=False)
        complete(folder, 0, 0, 10)
        folder.unfinished(1, ".npy").write_bytes(b"half")
        folder.unfinished(2, ".npy").write_bytes(b"vectors")  # final name, but not recorded yet
        folder.place(2, ".npy")
        folder.reject(2, b"{}\n")
    with claimed(tmp_path):
        assert opened(tmp_path, JOB, resume=True).next_row == 10
    left = {str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*") if one.is_file()}
    assert left == {
        "part-00000.npy",
        "_rejected/part-00000.jsonl",
        "_job/part-00000.json",
        "_job/job.json",
        "_job/lock",
    }


def test_a_folder_that_another_job_is_writing_to(tmp_path: Path) -> None:
    with claimed(tmp_path), pytest.raises(StartupError) as raised, claimed(tmp_path):
        pass
    assert str(raised.value) == f"--output {tmp_path} is in use by another job: wait for it"
    with claimed(tmp_path):
        pass


def test_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "letters").touch()
    with pytest.raises(StartupError) as raised, claimed(tmp_path):
        pass
    expected = f"--output {tmp_path} holds letters, and no job: name an empty folder"
    assert str(raised.value) == expected
    assert [one.name for one in tmp_path.iterdir()] == ["letters"]


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StartupError) as raised, claimed(tmp_path / "file" / "out"):
        pass
    assert (
        str(raised.value)
        == f"--output {tmp_path / 'file' / 'out'} cannot be written: Not a directory"
    )


def test_a_job_is_resumed_only_where_that_was_asked_for(tmp_path: Path) -> None:
    with claimed(tmp_path):
        opened(tmp_path, JOB, resume=False)
        assert refusal(tmp_path, resume=False) == (
            f"--output {tmp_path} holds a job: --resume goes on with it; or name another folder"
        )


def test_another_job_is_not_mixed_in(tmp_path: Path) -> None:
    with claimed(tmp_path):
        opened(tmp_path, JOB, resume=False)
        assert refusal(tmp_path, JOB | {"fingerprint": "g"}) == (
            f"--output {tmp_path} holds another job: its fingerprint is 'f', not 'g'; name another "
            "folder"
        )


def test_records_that_were_changed_are_not_trusted(tmp_path: Path) -> None:
    with claimed(tmp_path):
        folder = opened(tmp_path, JOB, resume=False)
        complete(folder, 0, 0, 10)
        complete(folder, 1, 11, 5)
        marker = tmp_path / "_job" / "part-00001.json"
        assert refusal(tmp_path) == f"{marker} does not follow the part before it: it was changed"
        marker.write_text("{")
        assert refusal(tmp_path).startswith(f"{marker} cannot be read: ")
        (tmp_path / "_job" / "job.json").write_text("{")
        assert refusal(tmp_path).startswith(f"{tmp_path / '_job' / 'job.json'} cannot be read: ")


@pytest.mark.parametrize(
    "kept", ["part-00000.npy", "_rejected/part-00000.jsonl", "_job/part-00000.json"]
)
@pytest.mark.parametrize("resume", [False, True])
def test_parts_of_an_unknown_job_are_neither_continued_nor_removed(
    tmp_path: Path, kept: str, *, resume: bool
) -> None:
    with claimed(tmp_path):
        complete(opened(tmp_path, JOB, resume=False), 0, 0, 10)
        for lost in [*tmp_path.rglob("part-*"), tmp_path / "_job" / "job.json"]:
            if lost != tmp_path / kept:
                lost.unlink()
        assert refusal(tmp_path, JOB | {"fingerprint": "g"}, resume=resume) == (
            f"--output {tmp_path} holds {kept}, and no _job/job.json that says of which job: name "
            "another folder"
        )
    assert (tmp_path / kept).exists()
