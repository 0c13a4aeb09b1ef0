"""NPZ file: an untrusted archive of arrays, checked before it is unpacked."""

import math
from pathlib import Path
from zipfile import ZipFile

import numpy as np

MOST_BYTES = 2**31  # bytes of all arrays; sparse vectors over 250,000 words take a quarter of it
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def require_sound(path: Path) -> None:
    """Raise ValueError if the arrays would take more memory than allowed, or than they hold.

    NumPy allocates what an array's header asks for before it reads any of it.

    Raises: also what the libraries raise for a file that is no archive of arrays.
    """
    with ZipFile(path) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES / 2**30:g} GiB")
        for member in members:
            with archive.open(member) as stream:
                read_header = _HEADERS.get(np.lib.format.read_magic(stream))
                if read_header is None:
                    raise ValueError(f"{member.filename} is of an unknown version")
                shape, _, dtype = read_header(stream)
            if math.prod(shape) * dtype.itemsize > member.file_size:
                raise ValueError(f"{member.filename} is shorter than it says")
