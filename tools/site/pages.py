"""Pages: the Markdown files that readers get, where their links lead, and what the site names."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Files of the repository's root beside all of `docs/`.
AT_THE_ROOT = (
    "README.md",
    "README.zh-CN.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "LICENSE",
)
CONFIGURATION = "zensical.toml"

_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)


def files(root: Path) -> list[Path]:
    """Return every file of the site, relative to the repository's root."""
    below = (path.relative_to(root) for path in (root / "docs").rglob("*") if path.is_file())
    return [*map(Path, AT_THE_ROOT), *sorted(below)]


def pages(root: Path) -> list[Path]:
    """Return those of the files that are pages."""
    return [path for path in files(root) if path.suffix == ".md"]


def dead_links(root: Path) -> list[str]:
    """Return each link of a page to a file or heading that the site does not have.

    Addresses of other hosts are not asked.
    """
    found = set(files(root))
    return [
        f"{page}: {link}"
        for page in pages(root)
        for link in links((root / page).read_text())
        if not _leads_somewhere(root, page, link, found)
    ]


def links(text: str) -> Iterator[str]:
    """Yield the targets of a page's links, those in code left out."""
    plain = _CODE.sub("``", _FENCE.sub("", text))
    yield from (one for one in _LINK.findall(plain) if not re.match(r"https?:|mailto:", one))


def anchors(text: str) -> set[str]:
    """Return the names of a page's headings, as links write them."""
    return {slug(heading) for heading in _HEADING.findall(_FENCE.sub("", text))}


def slug(heading: str) -> str:
    """Return the name of a heading: small letters, with hyphens for what stands between words."""
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
    kept = re.sub(r"[^\w\s-]", "", text).strip().lower()
    return re.sub(r"\s", "-", kept)


def named_pages(root: Path) -> list[str]:
    """Return the pages that the site's navigation names, in its order."""
    settings = tomllib.loads((root / CONFIGURATION).read_text())
    return list(_leaves(settings["project"]["nav"]))


def _leaves(entries: Any) -> Iterator[str]:
    for entry in entries:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            if isinstance(value, str):
                yield value
            else:
                yield from _leaves(value)


def _leads_somewhere(root: Path, page: Path, link: str, found: set[Path]) -> bool:
    target, _, anchor = link.partition("#")
    place = (root / page.parent / target).resolve() if target else (root / page).resolve()
    if not place.is_relative_to(root.resolve()) or place.relative_to(root.resolve()) not in found:
        return False
    return not anchor or anchor in anchors(place.read_text())
