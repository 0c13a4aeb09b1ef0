"""Documents: the JSON files of a checkpoint, read value by value with one-line errors."""

from pathlib import Path
from typing import Any, Self, TypeVar

from app.model import untrusted
from app.model.manifest import TOKENIZER_FILE
from export.errors import ExportError

T = TypeVar("T", str, int, bool, dict[str, Any])


class Document:
    """A JSON object; an absent file reads as an empty one."""

    def __init__(self, path: Path, content: dict[str, Any]) -> None:
        self._path = path
        self._content = content

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file that holds one JSON object.

        Raises: ExportError for a file that is there but holds something else.
        """
        content = read_json(path)
        if content is None:
            content = {}
        if not isinstance(content, dict):
            raise ExportError(f"{path} is not a JSON object: fetch the model again")
        return cls(path, content)

    def __bool__(self) -> bool:
        return bool(self._content)

    def value(self, key: str, kind: type[T]) -> T | None:
        """Return the value of a key, or None if it is absent or null.

        Raises: ExportError for a value of another type.
        """
        found = self._content.get(key)
        if found is None or type(found) is kind:
            return found
        raise ExportError(f"{self._path}: {key}: {found!r} is not of type {kind.__name__}")

    def number(self, key: str) -> float | None:
        """Return the number under a key, whole or not, or None if it is absent or null.

        Raises: ExportError for a value of another type.
        """
        found = self._content.get(key)
        if found is None or type(found) in {int, float}:
            return found
        raise ExportError(f"{self._path}: {key}: {found!r} is not a number")

    def is_set(self, key: str) -> bool:
        """Check whether a key holds anything but null, false, zero or an empty value."""
        return bool(self._content.get(key))

    def texts(self, key: str) -> list[str]:
        """Return the strings under a key that holds one or a list of them; [] if it is absent.

        Raises: ExportError for a value of another type.
        """
        found = self._content.get(key)
        if found is None:
            return []
        items = found if isinstance(found, list) else [found]
        if all(isinstance(item, str) for item in items):
            return items
        raise ExportError(f"{self._path}: {key}: {found!r} is not a list of strings")

    def objects(self, key: str) -> list[dict[str, Any]]:
        """Return the objects in the list under a key; [] if it is absent.

        Raises: ExportError for a value of another type.
        """
        found = self._content.get(key)
        if found is None:
            return []
        if isinstance(found, list) and all(isinstance(item, dict) for item in found):
            return found
        raise ExportError(f"{self._path}: {key} is not a list of objects")

    def token(self, key: str) -> str | None:
        """Return the text of a special token, stored alone or in an object; None if it is absent.

        Raises: ExportError for a value of another type.
        """
        found = self._content.get(key)
        if isinstance(found, dict):
            found = found.get("content")
        if found is None or isinstance(found, str):
            return found
        raise ExportError(f"{self._path}: {key}: {found!r} is not a token")

    def first_integer(self, *keys: str) -> int | None:
        """Return the first integer under any of the keys; a list counts by its first item."""
        for key in keys:
            found = self._content.get(key)
            if isinstance(found, list) and found:
                found = found[0]
            if type(found) is int:
                return found
        return None


def read_json(path: Path) -> Any:
    """Parse a JSON file; return None if there is none.

    Raises: ExportError if it cannot be read as JSON, or is larger than such a file may be.
    """
    most = untrusted.MOST_TOKENIZER if path.name == TOKENIZER_FILE else untrusted.MOST_JSON
    try:
        return untrusted.read_json(path, most)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} cannot be read: {error}") from None
