"""API keys: how operators give them, and which of them a request carries.

A key that is given alone is plain: all of the text, whatever it holds, so that one with `=` or `,`
means what it always has. Several are told apart by names, each `NAME=KEY`, on the command line or
in a file. Names are no secret; a key's text is in no message.
"""

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import StartupError
from app.options.command_line import UsageError

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FORM = "NAME=KEY, with a NAME of 1 to 64 letters, digits, - and _, and a KEY in printable ASCII"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key, and the name of its holder; a plain one has none."""

    name: str | None
    text: str = field(repr=False)


class ApiKeys:
    """The keys of a service, of which a request needs one."""

    def __init__(self, keys: Sequence[ApiKey]) -> None:
        self._expected = [(f"Bearer {key.text}".encode(), key) for key in keys]
        self.names = tuple(dict.fromkeys(key.name for key in keys if key.name is not None))

    def find(self, authorization: bytes) -> ApiKey | None:
        """Return the key that the header holds byte for byte, or None.

        It is compared with every key, so that the time tells neither a key nor its place.
        """
        found = None
        for expected, key in self._expected:
            if hmac.compare_digest(authorization, expected):
                found = key
        return found


def sendable(text: str) -> bool:
    """Check whether a key fits in a header, where spaces around it would be lost."""
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()


def from_flags(texts: Sequence[str]) -> tuple[ApiKey, ...]:
    """Return the keys of the command line: a plain one if it is alone, else each by its name.

    Raises: UsageError.
    """
    if len(texts) == 1:
        return (ApiKey(None, texts[0]),)
    keys = [_named(text) for text in texts]
    for place, key in enumerate(keys, 1):
        if key is None:
            raise UsageError(
                f"--api-key is given {len(keys)} times, and number {place} is not {_FORM}: name "
                "each, or leave all but one out"
            )
    named = tuple(key for key in keys if key is not None)
    if (twice := _shared(named)) is not None:
        raise UsageError(f"--api-key: {twice}")
    return named


def from_file(path: Path) -> tuple[ApiKey, ...]:
    """Return the keys of a file: one on each line that is not empty and does not begin with #.

    Raises: StartupError naming the file and the line.
    """
    place = f"--api-key-file (API_KEY_FILE): {path}"
    try:
        if not path.is_file():
            raise StartupError(f"{place} is no file: name one with {_FORM}, on each line")
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise StartupError(f"{place} cannot be read: {reason}") from None
    keys = []
    for number, line in enumerate(map(str.strip, lines), 1):
        if line and not line.startswith("#"):
            key = _named(line)
            if key is None:
                raise StartupError(f"{place}: line {number} is not {_FORM}")
            keys.append(key)
    if not keys:
        raise StartupError(f"{place} holds no key: add one, or leave the option out")
    return tuple(keys)


def all_keys(flags: tuple[ApiKey, ...], path: Path | None) -> ApiKeys | None:
    """Return the keys of the command line and of the file together, or None if there are none.

    Raises: StartupError naming the file, and the line where one is at fault.
    """
    keys = flags if path is None else flags + from_file(path)
    if (twice := _shared(keys)) is not None:
        raise StartupError(f"--api-key-file (API_KEY_FILE): {path}: {twice}")
    return ApiKeys(keys) if keys else None


def looks_named(keys: tuple[ApiKey, ...]) -> bool:
    """Check whether the only key is plain, and was perhaps meant as `NAME=KEY`."""
    named = _named(keys[0].text) if len(keys) == 1 else None
    return named is not None and named.text.strip("=") != ""  # base64 ends in =


def _named(text: str) -> ApiKey | None:
    """Read `NAME=KEY`; None if it is something else."""
    name, _, key = text.partition("=")
    return ApiKey(name, key) if _NAME.fullmatch(name) and sendable(key) else None


def _shared(keys: Sequence[ApiKey]) -> str | None:
    """Return what is wrong if two names have one key; one name may have several, to change over."""
    owners: dict[str, str | None] = {}
    for key in keys:
        other = owners.setdefault(key.text, key.name)
        if other != key.name:
            names = " and ".join(name or "the plain key" for name in (other, key.name))
            return f"{names} are the same key, which would not tell whose a request is"
    return None
