"""Digests: whether the files of an exported folder are those that were exported."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.model import bounded


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def document_digest(content: Mapping[str, Any]) -> str:
    """The SHA-256 of what a JSON document says, however it is written."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def fault_of_files(folder: Path, expected: Mapping[str, str]) -> str | None:
    """What is wrong with the first file that is missing or was changed, by name and digest."""
    for name, digest in expected.items():
        path = folder / name
        try:
            bounded.require_plain(path)
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
