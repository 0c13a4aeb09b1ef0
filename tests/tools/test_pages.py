"""Generated pages are current and complete."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from app.options.command_line import environment_name, flag_name
from app.options.settings import Settings
from tools.bench.report import insert
from tools.pages.__main__ import COMMAND, DECISIONS, pages
from tools.pages.api import MEANINGS, api_lines, document, operations
from tools.pages.decisions import decision_lines
from tools.pages.settings import sections, settings_lines
from tools.process import ROOT


@pytest.fixture(scope="module")
def openapi() -> Any:
    return document()


def test_every_page_is_current(tmp_path: Path) -> None:
    made = pages()
    assert len(made) == 3
    for page, lines in made.items():
        copy = tmp_path / "copy.md"
        copy.write_text(page.read_text())
        insert(copy, lines, COMMAND)
        assert copy.read_text() == page.read_text(), f"{page} is out of date: run `make pages`"


def test_every_option_has_its_row_and_no_other_has() -> None:
    rows = [line.strip("| ").split(" | ") for line in settings_lines() if line.startswith("| `--")]
    assert [(row[0].split(",")[0], row[1], row[-1]) for row in rows] == [
        (f"`{flag_name(one)}`", f"`{environment_name(one)}`", one.metadata["help"])
        for one in fields(Settings)
        if not one.metadata.get("hidden")
    ]


def test_a_default_is_written_as_it_is_given() -> None:
    text = "\n".join(settings_lines())
    assert "| `--model-id` | `MODEL_ID` | required |" in text
    assert "| `--port`, `-p` | `PORT` | `8000` |" in text
    assert "| `--auto-truncate` | `AUTO_TRUNCATE` | `true` |" in text
    assert "| `--api-key` | `API_KEY` |  |" in text


def test_sections_are_those_of_the_help() -> None:
    assert list(sections())[:3] == ["model", "computation", "inputs"]
    assert [one.name for one in sections()["shutdown"]] == ["drain_seconds", "shutdown_seconds"]


def test_every_route_and_error_has_its_place(openapi: Any) -> None:
    lines = api_lines(openapi)
    for path, method, operation in operations(openapi):
        assert lines.count(f"### {method.upper()} {path}") == 1
        for status in operation["responses"].keys() - {"200"}:
            assert any(line.startswith(f"| {status} | ") for line in lines)


def test_every_field_has_a_meaning_and_a_type(openapi: Any) -> None:
    shapes = openapi["components"]["schemas"]
    named = {
        field
        for shape in shapes
        if shape.endswith("Request")
        for field in shapes[shape]["properties"]
    }
    assert named == set(MEANINGS)
    rows = [line.split(" | ") for line in api_lines(openapi) if line.startswith("| `")]
    assert {row[0].strip("|` ") for row in rows} == named
    assert all(kind and meaning for _, kind, _, meaning in rows)


def test_a_route_with_the_fields_of_an_earlier_one_names_it(openapi: Any) -> None:
    lines = api_lines(openapi)
    place = lines.index("### POST /embeddings")
    assert lines[place + 4] == "Its fields are those of `POST /v1/embeddings`."


def test_the_index_has_every_decision() -> None:
    lines = decision_lines(DECISIONS)
    assert lines[0] == "1. [Dependencies](0001-dependencies.md)"
    assert len(lines) == len(list(DECISIONS.glob("0*.md")))
    assert DECISIONS == ROOT / "docs" / "decisions"


@pytest.mark.parametrize("heading", ["# 8. Title", "# Title", "", "# 7."])
def test_a_record_without_its_number_and_title_is_refused(tmp_path: Path, heading: str) -> None:
    (tmp_path / "0007-title.md").write_text(f"{heading}\n")
    with pytest.raises(ValueError, match=r"0007-title\.md"):
        decision_lines(tmp_path)
