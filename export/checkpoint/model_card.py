"""Model card: the task in the README of a repository."""

import re
from pathlib import Path

FILE_NAME = "README.md"
_MOST = 1 << 16  # bytes; the tag is near the beginning
_TAG = re.compile(r"^pipeline_tag:[ \t]*['\"]?([\w-]+)", re.MULTILINE)


def pipeline_tag(folder: Path) -> str | None:
    """Return the card's `pipeline_tag`, such as `text-ranking`; None if there is none."""
    try:
        with (folder / FILE_NAME).open("rb") as stream:
            text = stream.read(_MOST).decode("utf-8", "replace")
    except OSError:
        return None
    opening, _, rest = text.lstrip("\ufeff").partition("\n")
    if opening.rstrip() != "---":
        return None
    facts = re.split(r"^---\s*$", rest, maxsplit=1, flags=re.MULTILINE)[0]
    found = _TAG.search(facts)
    return found[1] if found else None
