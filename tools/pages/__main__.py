"""python -m tools.pages: write the generated parts of `docs/`."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.bench.report import insert
from tools.pages.api import api_lines, document
from tools.pages.decisions import decision_lines
from tools.pages.settings import settings_lines
from tools.process import ROOT

COMMAND = "make pages"
DECISIONS = ROOT / "docs" / "decisions"


def pages() -> Mapping[Path, Sequence[str]]:
    """Return the lines between the command's markers, by page."""
    return {
        ROOT / "docs" / "settings.md": settings_lines(),
        ROOT / "docs" / "api.md": api_lines(document()),
        DECISIONS / "README.md": decision_lines(DECISIONS),
    }


def main() -> int:
    """Write every page."""
    for page, lines in pages().items():
        insert(page, lines, COMMAND)
        sys.stdout.write(f"{page.relative_to(ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
