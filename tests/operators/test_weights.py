"""Weights that were read once: their pages are freed, and nothing written is lost."""

import mmap
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.operators import weights

SIZE = 64 * mmap.PAGESIZE
Map = Callable[[Path], mmap.mmap]


@pytest.fixture
def mapped() -> Iterator[Map]:
    """Map a new file as ONNX Runtime does, privately, and read every page of it."""
    with ExitStack() as stack:

        def read(path: Path) -> mmap.mmap:
            path.write_bytes(b"w" * SIZE)
            with path.open("r+b") as file:
                made = stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
            assert made[:: mmap.PAGESIZE] == b"w" * 64
            return made

        yield read


def resident(path: Path) -> int:
    """Return the bytes of a file in this process's memory."""
    _, _, text = weights.SMAPS.read_text().partition(f" {path}\n")
    found = re.search(r"^Rss: +(\d+) kB$", text, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def test_pages_of_the_folder_are_given_back_and_read_again(tmp_path: Path, mapped: Map) -> None:
    path = tmp_path / "model.onnx.data"
    content = mapped(path)
    assert resident(path) == SIZE
    weights.give_back(tmp_path)
    assert resident(path) == 0
    assert content[:] == b"w" * SIZE


def test_a_mapping_that_was_written_to_is_left_as_it_is(tmp_path: Path, mapped: Map) -> None:
    path = tmp_path / "model.onnx.data"
    content = mapped(path)
    content[5:6] = b"x"
    weights.give_back(tmp_path)
    assert resident(path) == SIZE
    assert content[4:7] == b"wxw"


def test_other_folders_are_left_alone(tmp_path: Path, mapped: Map) -> None:
    (tmp_path / "model").mkdir()
    path = tmp_path / "other"
    mapped(path)
    weights.give_back(tmp_path / "model")
    assert resident(path) == SIZE


def test_where_there_is_no_such_list_nothing_is_given_back(
    tmp_path: Path, mapped: Map, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.onnx.data"
    mapped(path)
    with monkeypatch.context() as patched:
        patched.setattr(weights, "SMAPS", tmp_path / "none")
        weights.give_back(tmp_path)
    assert resident(path) == SIZE
