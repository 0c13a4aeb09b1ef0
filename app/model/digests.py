"""Digests: whether the files of an exported folder are those that were exported."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.model import untrusted


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def document_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON document's content, however it is formatted."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def fault_of_files(folder: Path, expected: Mapping[str, str]) -> str | None:
    """Describe the first file that is missing or was changed, or return None.

    `expected` maps names to digests.
    """
    for name, digest in expected.items():
        path = folder / name
        try:
            untrusted.require_plain(path)
            actual = file_digest(path)
        except OSError as error:
            return f"{path} cannot be read: {error.strerror}"
        except ValueError as error:
            return f"{path} cannot be read: {error}"
        if actual != digest:
            return (
                f"{path} is not the file that was exported (SHA-256 {actual[:12]}…, expected "
                f"{digest[:12]}…): export the model again"
            )
    return None
