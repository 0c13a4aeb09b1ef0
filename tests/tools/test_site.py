"""The pages of the site: each is in the navigation, and every link is alive."""

import re
from pathlib import Path

import pytest

from tools.process import ROOT
from tools.site.pages import AT_THE_ROOT, dead_links, links, named_pages, pages, slug


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    assert dead_links(ROOT) == []


def test_every_page_is_in_the_navigation_once() -> None:
    """Decisions are reached through their index."""
    named = named_pages(ROOT)
    assert len(named) == len(set(named))
    there = {str(page) for page in pages(ROOT)}
    records = {name for name in there if re.match(r"docs/decisions/\d", name)}
    assert set(named) == there - records, "name it in zensical.toml"


def test_every_make_target_named_exists() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in pages(ROOT):
        named = re.findall(r"(?:^|`)make ([a-z0-9-]+)", (ROOT / page).read_text(), re.MULTILINE)
        assert set(named) <= targets, page


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A site of two pages, which link to each other."""
    for name in AT_THE_ROOT:
        (tmp_path / name).write_text("# A page\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text("# Home\n\n[other](docs/other.md#what-is-next)\n")
    (tmp_path / "docs/other.md").write_text("# Other\n\n## What is next?\n\n[home](../README.md)\n")
    return tmp_path


def test_a_site_without_a_dead_link_has_none(small: Path) -> None:
    assert dead_links(small) == []


@pytest.mark.parametrize(
    "link",
    [
        "docs/none.md",
        "docs/other.md#none",
        "#none",
        "docs",
        "../outside.md",
        "/etc/hostname",
        "app",
    ],
)
def test_a_dead_link_is_found(small: Path, link: str) -> None:
    (small / "README.md").write_text(f"# Home\n\n[a link]({link})\n")
    assert dead_links(small) == [f"README.md: {link}"]


def test_links_in_code_and_to_other_hosts_are_left_alone() -> None:
    text = "[a](x.md) `[b](y.md)` [c](https://example.org/z)\n```\n[d](w.md)\n```\n![e](p.svg)\n"
    assert list(links(text)) == ["x.md", "p.svg"]


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        ("What is next?", "what-is-next"),
        ("POST /v1/models/{id}", "post-v1modelsid"),
        ("`--api-key`, and more", "--api-key-and-more"),
        ("[A link](other.md) in it", "a-link-in-it"),
    ],
)
def test_a_heading_has_the_name_that_links_use(heading: str, name: str) -> None:
    assert slug(heading) == name
