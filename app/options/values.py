"""Option values: parsers of flags and variables, and combinations that contradict each other.

Each function that reads a text raises ValueError with what it must be, or UsageError if the text
itself must not be shown.
"""

import re
import socket
from collections.abc import Callable
from ipaddress import IPv6Address
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar
from urllib.parse import urlsplit

from app.access.api_keys import sendable
from app.model.names import GPU_PROVIDERS, ProviderChoice, is_coarse
from app.options.command_line import UsageError

MOST = 2**53 - 1  # the largest integer that all readers of JSON keep exact
MOST_THREADS = 1024
SHORTEST_RUN_SECONDS = 0.5
# RFC 6454, 7; underscores are invalid in a host name, but browsers send them.
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?)(?::(\d+))?/*"
)
_PORTS = {"http": 80, "https": 443}

Word = TypeVar("Word", bound=str)


class Options(Protocol):
    """The options that may contradict each other."""

    @property
    def default_prompt(self) -> str | None: ...
    @property
    def default_prompt_name(self) -> str | None: ...
    @property
    def device_id(self) -> tuple[int, ...] | None: ...
    @property
    def gpu_memory_limit(self) -> int | None: ...
    @property
    def provider(self) -> ProviderChoice: ...
    @property
    def grpc_port(self) -> int | None: ...
    @property
    def listen_port(self) -> int: ...
    @property
    def hf_token(self) -> str | None: ...
    @property
    def hf_api_token(self) -> str | None: ...


def positive(text: str) -> int:
    """Read a number of at least 1."""
    value = count(text)
    if value == 0:
        raise ValueError("must be at least 1")
    return value


def count(text: str) -> int:
    """Read a whole number that JSON readers keep exact."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("must be a whole number")
    return _at_most(MOST, int(text))


def threads(text: str) -> int:
    """Read a number of threads, up to MOST_THREADS; 0 leaves the choice to the service."""
    return _at_most(MOST_THREADS, count(text))


def port(text: str) -> int:
    """Read a port, or 0 for any that is free."""
    return _at_most(65_535, count(text))


def seconds(text: str) -> float:
    """Read a time in seconds."""
    value = float(text)
    if not 0 <= value < 1e6:
        raise ValueError("must be between 0 and 1,000,000")
    return value


def run_seconds(text: str) -> float:
    """Read a run's timeout, after a few of which a stuck process is ended."""
    value = seconds(text)
    if value < SHORTEST_RUN_SECONDS:
        raise ValueError(f"must be at least {SHORTEST_RUN_SECONDS}")
    return value


def limit_seconds(text: str) -> float:
    """Read a time in seconds that is not 0."""
    value = seconds(text)
    if value == 0:
        raise ValueError("must be more than 0")
    return value


def boolean(text: str) -> bool:
    """Read `true` or `false`, as TEI spells them."""
    if text not in {"true", "false"}:
        raise ValueError("must be true or false")
    return text == "true"


def devices(text: str) -> tuple[int, ...]:
    """Read numbers separated by commas."""
    found = tuple(map(count, text.split(",")))
    if len(set(found)) < len(found):
        raise ValueError("must name each device once")
    return found


def one_of(*values: Word) -> Callable[[str], Word]:
    """Return a parser that accepts only these values."""
    known = {str(value): value for value in values}

    def parse(text: str) -> Word:
        if text not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return known[text]

    return parse


def path(text: str) -> str:
    """Read the path of a route."""
    if not text.startswith("/") or set(text) & set("{}?#"):
        raise ValueError("must begin with / and hold none of { } ? #")
    return text


def key(text: str) -> str:
    """Read a key that fits in a header."""
    if not sendable(text):
        raise UsageError(
            "--api-key (environment: API_KEY) is no key that a header can carry: it is empty, "
            "begins or ends in blanks or a new line, or is not ASCII"
        )
    return text


def collector(text: str) -> str:
    """Read the address of an OTLP collector."""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be http:// or https:// with a host")
    if parts.username is not None or parts.password is not None:
        raise UsageError("--otlp-endpoint must hold no credentials: they would stand in the log")
    return text


def folder(text: str) -> Path:
    """Read a folder; `~` is the user's home even in a variable, which no shell expands."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # a user without home
        raise ValueError(str(error)) from None


def onnx_file(text: str) -> str:
    """Read the name of a graph among the files of a model, with or without its folder."""
    name = PurePosixPath(text)
    if name.suffix != ".onnx" or name.is_absolute() or ".." in name.parts:
        raise ValueError("must be the name of a file of the model that ends in .onnx")
    if is_coarse(text):
        raise ValueError("must not be rounded to 4 bits, which is not served")
    return str(name)


def host(text: str) -> str:
    """Read an address, or a name that is resolved when the port is opened."""
    if not text.strip():
        raise ValueError("must be an address or a name")
    return text.strip("[]") if ":" in text else text


def own_name(text: str) -> str | None:
    """Return "" if a variable holds the machine's own name, which container runtimes set."""
    return "" if text == socket.gethostname() else None


def origin(text: str) -> str:
    """Read an origin as browsers send it, or `*`; without a path or a trailing slash."""
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
        host = f"[{IPv6Address(host[1:-1])}]"  # in the short form that browsers send
    number = None if digits is None else port(digits)
    if number in {None, _PORTS.get(scheme)}:  # browsers leave out the default port
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{number}"


def contradiction(options: Options) -> str | None:
    """Return what is wrong with the first pair that is, and the remedy, or None."""
    if options.default_prompt is not None and options.default_prompt_name is not None:
        return "--default-prompt cannot be used with --default-prompt-name: leave one out"
    if options.device_id is not None and options.provider not in GPU_PROVIDERS:
        needed = f"--provider {' or '.join(GPU_PROVIDERS)}"
        return f"--device-id needs {needed}, not {options.provider}"
    if options.gpu_memory_limit is not None and options.provider != "cuda":
        return f"--gpu-memory-limit needs --provider cuda, not {options.provider}"
    if options.grpc_port and options.grpc_port == options.listen_port:
        return f"--grpc-port cannot be {options.grpc_port}, the port of HTTP: name another"
    if options.hf_token is not None and options.hf_api_token is not None:
        return "--hf-token cannot be used with --hf-api-token, its old name: leave that out"
    return None


def _at_most(limit: int, value: int) -> int:
    if value > limit:
        raise ValueError(f"must be at most {limit}")
    return value
