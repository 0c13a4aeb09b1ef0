"""Option values: the text of a flag or a variable, read.

Each function raises ValueError with what the text must be, or UsageError where the text itself is
not to be shown.
"""

import re
import socket
from collections.abc import Callable
from ipaddress import IPv6Address
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from app.command_line import UsageError
from app.model.names import is_coarse

MOST = 2**53 - 1  # readers of JSON lose digits beyond it
MOST_THREADS = 1024
SHORTEST_RUN_SECONDS = 0.5
# RFC 6454, 7; an underscore is no letter of a host's name, and browsers send it all the same.
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?)(?::(\d+))?/*"
)
_PORTS = {"http": 80, "https": 443}


def positive(text: str) -> int:
    """At least 1."""
    value = count(text)
    if value == 0:
        raise ValueError("must be at least 1")
    return value


def count(text: str) -> int:
    """A whole number that JSON readers take as it is."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("must be a whole number")
    return _at_most(MOST, int(text))


def threads(text: str) -> int:
    """As many as a machine may have cores; 0 leaves the choice to us."""
    return _at_most(MOST_THREADS, count(text))


def port(text: str) -> int:
    """A port, or 0 for any that is free."""
    return _at_most(65_535, count(text))


def seconds(text: str) -> float:
    """A time."""
    value = float(text)
    if not 0 <= value < 1e6:
        raise ValueError("must be between 0 and 1,000,000")
    return value


def run_seconds(text: str) -> float:
    """A limit on a run: a process that shows no life for a few of them is ended."""
    value = seconds(text)
    if value < SHORTEST_RUN_SECONDS:
        raise ValueError(f"must be at least {SHORTEST_RUN_SECONDS}")
    return value


def limit_seconds(text: str) -> float:
    """A time that is not 0."""
    value = seconds(text)
    if value == 0:
        raise ValueError("must be more than 0")
    return value


def boolean(text: str) -> bool:
    """`true` or `false`, as TEI spells them."""
    if text not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text == "true"


def devices(text: str) -> tuple[int, ...]:
    """Numbers with commas between them."""
    found = tuple(map(count, text.split(",")))
    if len(set(found)) < len(found):
        raise ValueError("must name each device once")
    return found


def one_of(*values: str) -> Callable[[str], str]:
    """A parser that takes these values only."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return text

    return parse


def path(text: str) -> str:
    """The path of a route."""
    if not text.startswith("/") or set(text) & set("{}?#"):
        raise ValueError("must begin with / and hold none of { } ? #")
    return text


def key(text: str) -> str:
    """A key that a client can send in a header, where blanks around it are lost."""
    if not text.isascii() or not text.isprintable() or text != text.strip() or not text:
        raise UsageError(
            "--api-key (environment: API_KEY) is no key that a header can carry: it is empty, "
            "begins or ends in blanks or a new line, or is not ASCII"
        )
    return text


def collector(text: str) -> str:
    """The address of an OTLP collector."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be http:// or https:// with a host")
    if parts.username is not None or parts.password is not None:
        raise UsageError("--otlp-endpoint must hold no credentials: they would stand in the log")
    return text


def folder(text: str) -> Path:
    """A folder; a variable's `~` is the home of the user, as a shell would have it."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # a user without home
        raise ValueError(str(error)) from None


def onnx_file(text: str) -> str:
    """The name of a graph among the files of a model, with its folder or without."""
    name = PurePosixPath(text)
    if name.suffix != ".onnx" or name.is_absolute() or ".." in name.parts:
        raise ValueError("must be the name of a file of the model that ends in .onnx")
    if is_coarse(text):
        raise ValueError("must not be rounded to 4 bits, which is not served")
    return str(name)


def host(text: str) -> str:
    """An address, or a name that is resolved when the port is opened."""
    if not text.strip():
        raise ValueError("must be an address or a name")
    return text.strip("[]") if ":" in text else text


def own_name(text: str) -> str | None:
    """Nothing to listen on, where a variable holds what container runtimes put there."""
    return "" if text == socket.gethostname() else None


def origin(text: str) -> str:
    """What browsers send as `Origin`, or `*`; it never ends in a slash or a path."""
    if text in {"*", "null"}:
        return text
    found = _ORIGIN.fullmatch(text.strip().lower())
    if found is None or not text.isascii():
        raise ValueError(
            "must be *, or a scheme, a host and perhaps a port, as https://example.org (without a "
            "path, a placeholder or a second origin, and in ASCII: xn--…)"
        )
    scheme, host, digits = found.groups()
    if host.startswith("["):
        host = f"[{IPv6Address(host[1:-1])}]"  # browsers shorten it
    number = None if digits is None else port(digits)
    if number in {None, _PORTS.get(scheme)}:  # which browsers leave out
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{number}"


def _at_most(limit: int, value: int) -> int:
    if value > limit:
        raise ValueError(f"must be at most {limit}")
    return value
