import json
import logging
import sys

from app.logs import JsonFormatter, TextFormatter


def record(level: int, message: str, *arguments: object, failed: bool = False) -> logging.LogRecord:
    made = logging.LogRecord("app.server", level, "/x/server.py", 7, message, arguments, None)
    made.created = 1_700_000_000.25
    if failed:
        try:
            raise ValueError("boom")
        except ValueError:
            made.exc_info = sys.exc_info()
    return made


def test_text_lines_carry_time_level_and_place() -> None:
    line = TextFormatter().format(record(logging.WARNING, "%d left", 3))
    assert line == "2023-11-14T22:13:20.250000Z  WARN app.server: 3 left"


def test_json_lines_have_tei_s_keys() -> None:
    line = JsonFormatter().format(record(logging.INFO, 'said "%s"', "ü"))
    assert json.loads(line) == {
        "timestamp": "2023-11-14T22:13:20.250000Z",
        "level": "INFO",
        "message": 'said "ü"',
        "target": "app.server",
        "filename": "/x/server.py",
        "line_number": 7,
    }


def test_a_traceback_is_part_of_the_event() -> None:
    failed = record(logging.CRITICAL, "ended", failed=True)
    event = json.loads(JsonFormatter().format(failed))
    assert event["level"] == "ERROR"
    assert event["exception"].endswith("ValueError: boom")
    assert TextFormatter().format(failed).endswith("ValueError: boom")
