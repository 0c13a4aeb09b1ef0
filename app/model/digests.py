"""Digests: whether the files of an exported folder are those that were exported."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.model import untrusted

_DIGEST = "digest"  # the key of a document's own digest


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def document_digest(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a JSON document's content, however it is formatted."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def signed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON document with its own digest in it."""
    return {**content, _DIGEST: document_digest(content)}


def is_as_signed(document: Mapping[str, Any]) -> bool:
    """Check whether a document is as it was signed; old ones that were not are."""
    content = {key: value for key, value in document.items() if key != _DIGEST}
    expected = document_digest(content)
    return bool(document.get(_DIGEST, expected) == expected)


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
