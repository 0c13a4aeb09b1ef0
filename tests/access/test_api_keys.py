"""API keys: plain and named ones, where they are given, and that their text is never shown."""

from pathlib import Path

import pytest

from app import preflight
from app.access.api_keys import ApiKey, ApiKeys, all_keys, from_file, from_flags
from app.errors import StartupError
from app.options import command_line
from app.options.command_line import UsageError
from app.options.settings import Settings

MODEL = ["--model-id", "m"]
FORM = "NAME=KEY, with a NAME of 1 to 64 letters, digits, - and _, and a KEY in printable ASCII"


@pytest.mark.parametrize("text", ["a,b=c", "team=hunter2", "aHVudGVyMg==", "=", "a b"])
def test_a_key_that_is_alone_is_plain_whatever_it_holds(text: str) -> None:
    plain = (ApiKey(None, text),)
    assert Settings.read([*MODEL, "--api-key", text], {}).api_key == plain
    assert Settings.read(MODEL, {"API_KEY": text}).api_key == plain


def test_each_of_several_keys_has_a_name() -> None:
    given = [*MODEL, "--api-key", "search=a", "--api-key", "batch-1_B=b==,c"]
    settings = Settings.read(given, {"API_KEY": "unused"})
    assert settings.api_key == (ApiKey("search", "a"), ApiKey("batch-1_B", "b==,c"))


@pytest.mark.parametrize(
    ("keys", "fault"),
    [
        (["hunter2", "hunter2"], f"--api-key is given 2 times, and number 1 is not {FORM}"),
        (["a=b", "hunter2"], f"--api-key is given 2 times, and number 2 is not {FORM}"),
        (["a=b", "c=d", "hunter2="], f"given 3 times, and number 3 is not {FORM}"),
        (["a=b", "c d=hunter2"], f"number 2 is not {FORM}"),
        (["a=b", "x" * 65 + "=hunter2"], f"number 2 is not {FORM}"),
        (["a=hunter2", "b=hunter2"], "--api-key: a and b are the same key"),
    ],
)
def test_invalid_lists_of_keys_are_refused_and_not_shown(keys: list[str], fault: str) -> None:
    flags = [word for key in keys for word in ("--api-key", key)]
    with pytest.raises(UsageError) as caught:
        Settings.read([*MODEL, *flags], {})
    assert fault in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_file_has_one_key_a_line(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes("\ufeff# ours\r\n\r\n search=a=b \r\n#old=c\r\nsearch=#d".encode())
    assert from_file(path) == (ApiKey("search", "a=b"), ApiKey("search", "#d"))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "holds no key: add one, or leave the option out"),
        ("# none\n", "holds no key: add one, or leave the option out"),
        ("a=b\n\nhunter2\n", f"line 3 is not {FORM}"),
        ("a=hunter2é", f"line 1 is not {FORM}"),
        ("a=hunter2\nb=hunter2", "a and b are the same key"),
        ("a=plain", "the plain key and a are the same key"),
        (b"\xff=hunter2", "cannot be read: it is not UTF-8"),
        (None, "is no file: name one with NAME=KEY"),
    ],
)
def test_a_file_at_fault_ends_the_start_and_is_not_shown(
    tmp_path: Path, content: str | bytes | None, fault: str
) -> None:
    path = tmp_path / "keys"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    settings = Settings.read([*MODEL, "--api-key", "plain"], {"API_KEY_FILE": str(path)})
    with pytest.raises(StartupError) as caught:
        preflight.check(settings)
    assert str(caught.value).startswith(f"--api-key-file (API_KEY_FILE): {path}")
    assert fault in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_keys_of_both_places_count(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("a=1\nb=2\na=3\n")
    keys = all_keys(from_flags(["old"]), path)
    assert keys is not None
    assert keys.names == ("a", "b")
    found = [keys.find(f"Bearer {text}".encode()) for text in ("old", "1", "2", "3", "4")]
    assert [key and key.name for key in found] == [None, "a", "b", "a", None]
    assert [key is None for key in found] == [False, False, False, False, True]
    assert all_keys((), None) is None


@pytest.mark.parametrize("given", ["1", "bearer 1", "Bearer  1", "Bearer 1 ", "Bearer a=1", ""])
def test_a_header_must_equal_byte_for_byte(given: str) -> None:
    assert ApiKeys([ApiKey("a", "1"), ApiKey("b", "2")]).find(given.encode()) is None


def test_no_key_is_shown() -> None:
    settings = Settings.read([*MODEL, "--api-key", "a=hunter2", "--api-key", "b=hunter3"], {})
    line = command_line.shown(settings)
    assert "api_key=***" in line
    assert "hunter" not in line + repr(settings)
    assert command_line.shown(Settings.read(MODEL, {})) == "model_id='m'"


@pytest.mark.parametrize(("key", "is_told"), [("team=x", True), ("aHVudGVyMg==", False)])
def test_a_lone_key_that_looks_named_is_warned_of(key: str, is_told: bool) -> None:
    sentences = preflight.warnings(Settings.read([*MODEL, "--api-key", key], {}))
    assert [one.partition(",")[0] for one in sentences] == ["--api-key is given once"] * is_told
