"""Settings page: every option in Markdown, a table for each section of `--help`."""

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from typing import Any

from app.options.command_line import environment_name, flag_name
from app.options.settings import Settings

FIRST = "model"  # the section of the options that stand before any other


def settings_lines() -> list[str]:
    """Return the tables of all options that are shown, in the order of `--help`."""
    lines: list[str] = []
    for section, options in sections().items():
        lines += [f"### {section[0].upper()}{section[1:]}", ""]
        lines += ["| flag | environment | default | meaning |", "|---|---|---|---|"]
        lines += [f"| {' | '.join(_row(option))} |" for option in options]
        lines.append("")
    return lines[:-1]


def sections() -> dict[str, list["Field[Any]"]]:
    """Return the options that are shown, by the section of `--help` that they stand in."""
    found: dict[str, list[Field[Any]]] = {}
    section = FIRST
    for declared in fields(Settings):
        section = declared.metadata.get("section", section)
        if not declared.metadata.get("hidden"):
            found.setdefault(section, []).append(declared)
    return found


def _row(declared: "Field[Any]") -> Iterator[str]:
    flags = [flag_name(declared), declared.metadata["flag"]]
    yield ", ".join(f"`{flag}`" for flag in flags if flag)
    yield f"`{environment_name(declared)}`"
    yield _default(declared.default)
    yield declared.metadata["help"].replace("|", "\\|")


def _default(value: Any) -> str:
    if value is MISSING:
        return "required"
    if value is None or value == ():
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
