import json
import logging
import sys

import pytest

from app.telemetry.logs import (
    MESSAGE_CHARACTERS,
    TRACE_CHARACTERS,
    JsonFormatter,
    TextFormatter,
    duration,
    read_filter,
    shortened,
)


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


def test_a_client_s_text_is_cut_and_its_length_named() -> None:
    refused = record(logging.ERROR, "no prompt %s: available are %s", "n\n" * 900_000, "[query]")
    text = TextFormatter().format(refused)
    assert len(text) < 3 * MESSAGE_CHARACTERS  # escapes take more characters
    assert text.isprintable()
    assert " app.server: no prompt n\\nn\\n" in text
    assert " […of 1800033 characters…] " in text
    assert text.endswith("n\\n: available are [query]")
    message = json.loads(JsonFormatter().format(refused))["message"]
    assert len(message) == MESSAGE_CHARACTERS
    assert message.startswith("no prompt n\nn\n")
    assert message.endswith("n\n: available are [query]")


def test_a_message_of_just_the_length_is_whole() -> None:
    assert shortened("x" * MESSAGE_CHARACTERS) == "x" * MESSAGE_CHARACTERS
    cut = shortened("abcdefgh" * 10, 36)
    assert cut == "abcdefghabc […of 80 characters…] fgh"
    assert shortened(cut, 36) == cut


def test_a_long_traceback_keeps_both_ends() -> None:
    failed = record(logging.CRITICAL, "ended", failed=True)
    assert failed.exc_info is not None
    failed.exc_info = (ValueError, ValueError("v" * 1_000_000 + "end"), failed.exc_info[2])
    event = json.loads(JsonFormatter().format(failed))
    assert event["exception"].startswith("Traceback")
    assert event["exception"].endswith("vvvend")
    assert len(event["exception"]) < TRACE_CHARACTERS + 1
    assert len(TextFormatter().format(failed)) < TRACE_CHARACTERS + 200


def test_half_of_a_surrogate_pair_is_escaped() -> None:
    event = JsonFormatter().format(record(logging.ERROR, "no prompt %s", "\ud83d"))
    assert r"no prompt \ud83d" in event
    assert json.loads(event)["target"] == "app.server"


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
def test_invalid_filters_are_detected(text: str) -> None:
    assert read_filter(text) is None
