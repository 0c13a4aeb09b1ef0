"""Logs: one line for each event on stdout, as text or as JSON with TEI's keys.

Logging never blocks on a slow reader. A line's length is bounded, whatever a client sent.
"""

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import orjson

from app.telemetry.outlet import Outlet
from app.telemetry.standard_files import OUTPUT

logger = logging.getLogger(__name__)

LEVELS = {
    "off": logging.CRITICAL + 1,
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}
FLUSH_SECONDS = 1.0
MESSAGE_CHARACTERS = 4096
TRACE_CHARACTERS = 32768
_SHOWN_AS = {logging.WARNING: "WARN", logging.CRITICAL: "ERROR"}
_INDISCREET = ("hpack",)  # at lower levels it logs the headers of HTTP/2, keys included
_MODULE = re.compile(r"[A-Za-z_]\w*(?:(?:\.|::)\w+)*")
_CONTROL = {code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0))}


_model: ContextVar[str] = ContextVar("model", default="")


@contextmanager
def of_model(name: str) -> Iterator[None]:
    """Name a model in the lines of this block, and of threads that take over its context."""
    token = _model.set(name)
    try:
        yield
    finally:
        _model.reset(token)


def configure(level: str, *, json_output: bool, spans: bool) -> None:
    """Log to stdout what the filter `level` lets through; an invalid one counts as `info`.

    Loggers that would reveal secrets stay at warnings. A record may have a `span`: the name of the
    request's operation, and its fields.
    """
    levels = read_filter(level)
    # Do not look up for each event what no formatter here prints.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = _OUTPUT
    handler.setFormatter(JsonFormatter(spans=spans) if json_output else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for module, least in (levels or {}).items():
        logging.getLogger(module).setLevel(least)
    for module in _INDISCREET:
        logging.getLogger(module).setLevel(logging.WARNING)
    if levels is None:
        logger.warning("the log level %r is no filter; it counts as info", level)


def read_filter(text: str) -> Mapping[str, int] | None:
    """Return the least level of each module, with the default under "", or None if invalid.

    `debug`, `app.server=trace`, or several separated by commas, as TEI takes them in LOG_LEVEL.
    TEI's own modules, such as `text_embeddings_router::http`, stand for all of ours.
    """
    levels = {"": logging.INFO}
    for part in text.split(","):
        module, equals, level = part.strip().rpartition("=")
        least = LEVELS.get(level.lower())
        if least is None or (equals and not _MODULE.fullmatch(module)):
            return None
        levels[_logger_name(module)] = least
    return levels


def start() -> None:
    """Start the thread that writes what the reader could not take at once."""
    _OUTPUT.outlet.start()


def flush(seconds: float = FLUSH_SECONDS) -> bool:
    """Wait up to `seconds` until the log is written; return whether it is."""
    return _OUTPUT.outlet.flush(seconds)


def dropped() -> int:
    """Return how many lines were dropped."""
    return _OUTPUT.outlet.dropped


class _Output(logging.Handler):
    """Standard output, whose reader may be gone or stalled: events are dropped then."""

    def __init__(self) -> None:
        super().__init__()
        self.outlet = Outlet(OUTPUT, self._missing)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.outlet.put(self._line(record))
        except Exception:  # noqa: BLE001  # as in any handler: no event is worth a failed request
            self.handleError(record)

    def flush(self) -> None:
        self.outlet.flush(FLUSH_SECONDS)

    def _missing(self, lines: int) -> bytes:
        message = "%d lines were dropped here: the reader of the log did not keep up"
        return self._line(
            logger.makeRecord(logger.name, logging.WARNING, __file__, 0, message, (lines,), None)
        )

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode("utf-8", "backslashreplace")


class TextFormatter(logging.Formatter):
    """`2026-11-24T03:07:17.123456Z  INFO app.server: Ready`, a span before the logger's name."""

    def format(self, record: logging.LogRecord) -> str:
        # A client's text in the message must not look like a line of its own.
        message = one_line(shortened(record.getMessage()))
        of_model = f"model{{name={_model.get()}}}: " if _model.get() else ""
        place = f"{of_model}{_span_text(record)}{record.name}"
        text = f"{_timestamp(record)} {_level(record):>5} {place}: {message}"
        if record.exc_info is None:
            return text
        return f"{text}\n{shortened(self.formatException(record.exc_info), TRACE_CHARACTERS)}"


class JsonFormatter(logging.Formatter):
    """One JSON object a line: timestamp, level, message, target, filename, line_number, span."""

    def __init__(self, *, spans: bool = True) -> None:
        super().__init__()
        self._spans = spans

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, object] = {
            "timestamp": _timestamp(record),
            "level": _level(record),
            "message": shortened(record.getMessage()),
            "target": record.name,
            "filename": record.pathname,
            "line_number": record.lineno,
        }
        if _model.get():
            event["model"] = _model.get()
        if self._spans and (span := getattr(record, "span", None)) is not None:
            event |= {"span": span, "spans": [span]}
        if record.exc_info is not None:
            trace = self.formatException(record.exc_info)
            event["exception"] = shortened(trace, TRACE_CHARACTERS)
        try:
            return orjson.dumps(event, default=str).decode()
        except orjson.JSONEncodeError:  # half of a surrogate pair, which is not UTF-8
            return json.dumps(event, default=str)


def shortened(text: str, characters: int = MESSAGE_CHARACTERS) -> str:
    """Return the text, or its beginning and end with its length between, no longer than that."""
    if len(text) <= characters:
        return text
    cut = f" […of {len(text)} characters…] "
    room = characters - len(cut)
    end = room // 4
    return f"{text[: room - end]}{cut}{text[-end:]}"


def one_line(text: str) -> str:
    """Return the text with control characters, including new lines, as escapes."""
    return text.translate(_CONTROL)


def duration(seconds: float) -> str:
    """Format a duration as Rust prints one: `1.234567ms`, `12.5µs`, `2s`."""
    nanoseconds = round(seconds * 1e9)
    for unit, size, digits in (("s", 10**9, 9), ("ms", 10**6, 6), ("µs", 10**3, 3)):
        if nanoseconds >= size:
            whole, rest = divmod(nanoseconds, size)
            fraction = f".{rest:0{digits}d}".rstrip("0").rstrip(".")
            return f"{whole}{fraction}{unit}"
    return f"{nanoseconds}ns"


def _logger_name(module: str) -> str:
    return "app" if module.startswith("text_embeddings") else module.replace("::", ".")


def _span_text(record: logging.LogRecord) -> str:
    span = getattr(record, "span", None)
    if span is None:
        return ""
    fields = " ".join(f'{name}="{value}"' for name, value in span.items() if name != "name")
    return f"{span['name']}{{{fields}}}: "


def _timestamp(record: logging.LogRecord) -> str:
    seconds, microseconds = divmod(round(record.created * 1e6), 1_000_000)
    return f"{_second(seconds)}.{microseconds:06}Z"


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def _level(record: logging.LogRecord) -> str:
    return _SHOWN_AS.get(record.levelno, record.levelname)


_OUTPUT = _Output()
