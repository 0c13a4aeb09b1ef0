"""Untrusted files: read up to a size, and only if they are plain files.

Only the standard library is needed here, so that server and export read alike.
"""

import json
import stat
from pathlib import Path
from typing import Any

MEGABYTE = 2**20
MOST_JSON = 16 * MEGABYTE  # bytes of a description; those of models are seldom over a few kilobytes
MOST_TOKENIZER = 256 * MEGABYTE  # bytes of a tokenizer; one with 250,000 words has 17 MB


def read(path: Path, most: int = MOST_JSON) -> bytes:
    """Return the content of a plain file.

    Raises: OSError, or ValueError for a file that is larger or of another kind.
    """
    require_plain(path)
    with path.open("rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"it is larger than {most / MEGABYTE:g} MiB")
    return content


def read_json(path: Path, most: int = MOST_JSON) -> Any:
    """Return the content of a JSON file.

    Raises: OSError, or ValueError for a file that is larger, of another kind or not JSON.
    """
    content = read(path, most)
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def require_plain(path: Path) -> None:
    """Raise ValueError for a pipe, a socket or a device, which might never end.

    Raises: OSError if there is no such file.
    """
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is not a plain file")
