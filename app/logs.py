"""Logs: one line an event on stdout, as text or as JSON with TEI's keys."""

import logging
import sys
from datetime import UTC, datetime

import orjson

LEVELS = {
    "error": logging.ERROR,
    "warn": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": logging.DEBUG,
}


def configure(level: str, *, json_output: bool, spans: bool) -> None:
    """Send every logger's events to stdout; an unknown level counts as `info`.

    An event may carry a `span`: what was going on, by name, and its fields.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(spans=spans) if json_output else TextFormatter())
    logging.basicConfig(level=LEVELS.get(level.lower(), logging.INFO), handlers=[handler])


class TextFormatter(logging.Formatter):
    """`2026-11-24T03:07:17.123456Z  INFO app.server: Ready`, a span before the logger's name."""

    def format(self, record: logging.LogRecord) -> str:
        place = f"{_span_text(record)}{record.name}"
        text = f"{_timestamp(record)} {_level(record):>5} {place}: {record.getMessage()}"
        return (
            text if record.exc_info is None else f"{text}\n{self.formatException(record.exc_info)}"
        )


class JsonFormatter(logging.Formatter):
    """One JSON object a line: timestamp, level, message, target, filename, line_number, span."""

    def __init__(self, *, spans: bool = True) -> None:
        super().__init__()
        self._spans = spans

    def format(self, record: logging.LogRecord) -> str:
        event: dict[str, object] = {
            "timestamp": _timestamp(record),
            "level": _level(record),
            "message": record.getMessage(),
            "target": record.name,
            "filename": record.pathname,
            "line_number": record.lineno,
        }
        if self._spans and (span := getattr(record, "span", None)) is not None:
            event |= {"span": span, "spans": [span]}
        if record.exc_info is not None:
            event["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(event, default=str).decode()


def duration(seconds: float) -> str:
    """As Rust prints one: `1.234567ms`, `12.5µs`, `2s`."""
    nanoseconds = round(seconds * 1e9)
    for unit, size, digits in (("s", 10**9, 9), ("ms", 10**6, 6), ("µs", 10**3, 3)):
        if nanoseconds >= size:
            whole, rest = divmod(nanoseconds, size)
            fraction = f".{rest:0{digits}d}".rstrip("0").rstrip(".")
            return f"{whole}{fraction}{unit}"
    return f"{nanoseconds}ns"


def _span_text(record: logging.LogRecord) -> str:
    span = getattr(record, "span", None)
    if span is None:
        return ""
    fields = " ".join(f'{name}="{value}"' for name, value in span.items() if name != "name")
    return f"{span['name']}{{{fields}}}: "


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _level(record: logging.LogRecord) -> str:
    names = {logging.WARNING: "WARN", logging.CRITICAL: "ERROR"}
    return names.get(record.levelno, record.levelname)
