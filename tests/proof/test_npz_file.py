"""Archives that claim to exceed their limits are refused before they are unpacked."""

from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pytest

from app.proof import npz_file
from app.proof.probes import Probes, ProbesError


def write_member(path: Path, name: str, header: str, content: bytes = b"") -> None:
    """Write an archive with one array, whose header may claim anything."""
    text = header.encode().ljust(118) + b"\n"
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        magic = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
        archive.writestr(f"{name}.npy", magic + text + content)


def test_an_array_that_claims_to_be_huge_is_refused_before_it_is_made(tmp_path: Path) -> None:
    path = tmp_path / "probes.npz"
    write_member(path, "texts", "{'descr': '<f8', 'fortran_order': False, 'shape': (1<<50,)}")
    with pytest.raises(ProbesError, match=r"probes\.npz cannot be read"):
        Probes.read(path)
    shape = f"({2**50},)"
    write_member(path, "texts", f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}")
    with pytest.raises(ProbesError, match=r"texts\.npy is shorter than it says"):
        Probes.read(path)


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "probes.npz"
    np.savez_compressed(path, vectors=np.zeros(3_000_000, np.uint8))
    assert path.stat().st_size < 10_000
    monkeypatch.setattr(npz_file, "MOST_BYTES", 2_000_000)
    with pytest.raises(ProbesError, match="it unpacks to more than"):
        Probes.read(path)
