"""Weights: pages of a file that were read to be packed, given back to the system."""

import ctypes
import mmap
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

SMAPS = Path("/proc/self/smaps")
_MAPPING = re.compile(r"([0-9a-f]+)-([0-9a-f]+) \S+ \S+ \S+ \S+ +(/.+)")

Range = tuple[int, int]  # of addresses


def give_back(folder: Path) -> None:
    """Give back the pages of a folder's files that this process has mapped.

    The operators pack the float32 weights when a session opens, and never read them again. What is
    read again, such as rows of embeddings, comes from the file. Mappings that anything was written
    to are left alone: that would be lost.
    """
    try:
        lines = SMAPS.read_text().splitlines()
    except OSError:
        return
    advise = ctypes.CDLL(None).madvise
    for start, end in unwritten(lines, folder.resolve()):
        advise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)


def unwritten(lines: Iterable[str], folder: Path) -> Iterator[Range]:
    """Yield the mappings of a folder's files, as smaps has them, that nothing was written to."""
    mapping: re.Match[str] | None = None
    for line in lines:
        if (found := _MAPPING.fullmatch(line)) is not None:
            mapping = found if Path(found[3]).parent == folder else None
        elif line.startswith("VmFlags:"):
            mapping = None
        elif mapping is not None and line.split() == ["Anonymous:", "0", "kB"]:
            yield int(mapping[1], 16), int(mapping[2], 16)
