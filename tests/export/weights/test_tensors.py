"""Weights of layers: tensors, and nothing else that a file may hold."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from export.errors import ExportError
from tests.support.token_heads import COLBERT, SPARSE, export


class Bomb:
    """An object that makes a folder when it is unpickled in the usual way."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.place),)


Change = Callable[[Path], None]


def garbage(path: Path) -> None:
    path.write_bytes(b"not a pickle")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def code(path: Path) -> None:
    torch.save({"weight": Bomb(path.parent / "exploded"), "bias": torch.zeros(1)}, path)


def bare_code(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(path.parent / "exploded")))


def other_names(path: Path) -> None:
    torch.save({"linear.weight": torch.zeros(1, 32)}, path)


def other_width(path: Path) -> None:
    torch.save(torch.nn.Linear(31, 1).state_dict(), path)


def inflated(path: Path) -> None:
    """A few bytes that claim to be 32 values repeated a billion times."""
    huge = torch.zeros(1).expand(10**9, 32)
    torch.save({"weight": huge, "bias": torch.zeros(1).expand(10**9)}, path)


def compressed(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        contents = {one.filename: archive.read(one) for one in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in contents.items():
            archive.writestr(entry, content)


@pytest.mark.parametrize("name", [SPARSE, COLBERT])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (compressed, "is compressed, which PyTorch never does"),
        (garbage, "cannot be read: it is damaged, or holds more than tensors"),
        (truncated, "cannot be read: "),
        (empty, "cannot be read: "),
        (code, "cannot be read: it is damaged, or holds more than tensors, which is never loaded"),
        (bare_code, "cannot be read: it is damaged, or holds more than tensors"),
        (other_names, "holds linear.weight instead of weight, bias"),
        (other_width, "weight has the shape"),
        (inflated, "weight (has the shape|is larger than its file)"),
    ],
)
def test_hostile_files_are_refused_in_one_line(
    m3: Path, name: str, change: Change, message: str
) -> None:
    change(m3 / name)
    with pytest.raises(ExportError, match=f"{name}.*{message}") as refusal:
        export(m3)
    assert "\n" not in str(refusal.value)
    assert not (m3 / "exploded").exists()
    assert not (m3.parent / "models/tiny-m3").exists()
