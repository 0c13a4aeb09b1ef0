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


def configure(level: str, *, json_output: bool) -> None:
    """Send every logger's events to stdout; an unknown level counts as `info`."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter() if json_output else TextFormatter())
    logging.basicConfig(level=LEVELS.get(level.lower(), logging.INFO), handlers=[handler])


class TextFormatter(logging.Formatter):
    """`2026-11-24T03:07:17.123456Z  INFO app.server: Ready`."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{_timestamp(record)} {_level(record):>5} {record.name}: {record.getMessage()}"
        return (
            text if record.exc_info is None else f"{text}\n{self.formatException(record.exc_info)}"
        )


class JsonFormatter(logging.Formatter):
    """One JSON object a line: timestamp, level, message, target, filename, line_number."""

    def format(self, record: logging.LogRecord) -> str:
        event = {
            "timestamp": _timestamp(record),
            "level": _level(record),
            "message": record.getMessage(),
            "target": record.name,
            "filename": record.pathname,
            "line_number": record.lineno,
        }
        if record.exc_info is not None:
            event["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(event, default=str).decode()


def _timestamp(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _level(record: logging.LogRecord) -> str:
    names = {logging.WARNING: "WARN", logging.CRITICAL: "ERROR"}
    return names.get(record.levelno, record.levelname)
