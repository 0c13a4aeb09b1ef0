import json
import logging
import sys

import pytest

from app.logs import JsonFormatter, TextFormatter, duration, read_filter


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


def test_a_span_stands_before_the_logger_s_name_and_in_json_twice() -> None:
    span = {"name": "embed", "total_time": "1.5ms", "queue_time": "7µs"}
    success = record(logging.INFO, "Success")
    success.span = span
    line = TextFormatter().format(success)
    assert line.endswith('INFO embed{total_time="1.5ms" queue_time="7µs"}: app.server: Success')
    event = json.loads(JsonFormatter().format(success))
    assert (event["span"], event["spans"]) == (span, [span])
    assert "span" not in json.loads(JsonFormatter(spans=False).format(success))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.001234567, "1.234567ms"),
        (0.0015, "1.5ms"),
        (2, "2s"),
        (1.000000001, "1.000000001s"),
        (0.0000125, "12.5µs"),
        (0.00000042, "420ns"),
        (0, "0ns"),
    ],
)
def test_durations_are_printed_as_rust_prints_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_traceback_is_part_of_the_event() -> None:
    failed = record(logging.CRITICAL, "ended", failed=True)
    event = json.loads(JsonFormatter().format(failed))
    assert event["level"] == "ERROR"
    assert event["exception"].endswith("ValueError: boom")
    assert TextFormatter().format(failed).endswith("ValueError: boom")


@pytest.mark.parametrize("message", ["a\nb", "a\r\nb", "a\x1b[31mb", "a\x85b", "a\0b", "tab\tb"])
def test_a_message_stays_on_its_line(message: str) -> None:
    refused = record(logging.ERROR, "Available prompts: %s", message)
    text = TextFormatter().format(refused)
    assert text.isprintable()
    assert text.endswith(f"Available prompts: {message!r}".replace("'", ""))
    assert json.loads(JsonFormatter().format(refused))["message"].endswith(message)


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("info", {"": logging.INFO}),
        ("Debug", {"": logging.DEBUG}),
        ("TRACE", {"": logging.DEBUG}),
        ("off", {"": logging.CRITICAL + 1}),
        ("app.server=trace", {"": logging.INFO, "app.server": logging.DEBUG}),
        (
            "warn, hypercorn=error,app.inference=debug",
            {"": logging.WARNING, "hypercorn": logging.ERROR, "app.inference": logging.DEBUG},
        ),
        ("text_embeddings_router=debug", {"": logging.INFO, "app": logging.DEBUG}),
        ("error,text_embeddings_core::infer=info", {"": logging.ERROR, "app": logging.INFO}),
    ],
)
def test_a_filter_says_how_much_each_module_logs(text: str, levels: dict[str, int]) -> None:
    assert read_filter(text) == levels


@pytest.mark.parametrize("text", ["", "verbose", "app=", "=debug", "app=loud", "info,", "a b=info"])
def test_what_is_no_filter_is_known(text: str) -> None:
    assert read_filter(text) is None
