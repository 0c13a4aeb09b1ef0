"""What the READMEs say of options, routes and targets is what the code declares."""

import re
from dataclasses import MISSING, fields
from typing import Any

import pytest

from app.options.command_line import environment_name, flag_name
from app.options.settings import Settings
from tools.process import ROOT

READMES = ["README.md", "README.zh-CN.md"]


def settings_rows() -> list[tuple[str, str, str]]:
    """Flag, variable and default of every option that is shown, as the table writes them."""
    rows = []
    for declared in fields(Settings):
        if declared.metadata.get("hidden"):
            continue
        flags = ", ".join(filter(None, [flag_name(declared), declared.metadata["flag"]]))
        rows.append((f"`{flags}`", f"`{environment_name(declared)}`", _default(declared.default)))
    return rows


def _default(value: Any) -> str:
    if value is MISSING:
        return "required"
    if value is None or value == ():
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


@pytest.mark.parametrize("name", READMES)
def test_the_settings_table_is_the_settings(name: str) -> None:
    text = (ROOT / name).read_text()
    rows = [
        tuple(cell.strip() for cell in line.strip("|").split("|"))[:3]
        for line in text.splitlines()
        if line.startswith("| `--")
    ]
    assert rows == settings_rows()


def test_the_english_table_has_the_help_texts() -> None:
    text = (ROOT / "README.md").read_text()
    for declared in fields(Settings):
        if declared.metadata.get("hidden"):
            continue
        assert f"| {declared.metadata['help']} |" in text


@pytest.mark.parametrize("name", [*READMES, "CONTRIBUTING.md"])
def test_every_make_target_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", (ROOT / name).read_text(), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize("name", READMES)
def test_every_link_leads_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text()):
        assert target.startswith("https://") or (ROOT / target).exists()


def test_every_test_that_shows_a_promise_exists() -> None:
    promises = (ROOT / "docs/reliability.md").read_text().partition("## Overload")[0]
    named = re.findall(r"`(\S+\.py)(?: -k (?:\"([^\"]+)\"|(\w+)))?`", promises)
    assert len(named) > 50
    for file, words, word in named:
        tests = re.findall(r"^def (test_\w+)", (ROOT / "tests" / file).read_text(), re.MULTILINE)
        for part in (words or word or "test_").split(" or "):
            assert any(part in test for test in tests), (file, part)
