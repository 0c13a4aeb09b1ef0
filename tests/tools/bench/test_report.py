"""The bench's report: its table, its picture, and where they are put."""

from pathlib import Path

import pytest

from tools.bench.rate import Rate
from tools.bench.report import BENCH, Row, draw, insert, markers

BEGIN, END = markers(BENCH)
BARE = Rate(100, 1, 2)
ROWS = [
    Row("cpu float32", "bare session", BARE),
    Row("cpu float32", "server, 8 connections", Rate(180, 2, 4, 0.0015), BARE),
    Row("sentence-transformers", "one by one", Rate(12344, 10, 493.76)),
]


def test_a_row_beside_its_limit_says_how_close_it_comes() -> None:
    assert str(ROWS[1]) == "| server, 8 connections | 90 | 45 | 0.90 | 1.50 ms |"
    assert str(ROWS[2]) == "| one by one | 1,234 | 25 |  |  |"


def test_what_stood_between_the_markers_gives_way(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n")
    insert(page, ["new", "lines"])
    insert(page, ["newer"])
    assert page.read_text() == f"before\n\n{BEGIN}\nnewer\n{END}\n\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_page_without_the_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="once each"):
        insert(page, ["new"])
    assert page.read_text() == text


@pytest.mark.parametrize("command", [BENCH, "make bench-quality"])
def test_the_projects_page_has_a_place_for_each_report(command: str) -> None:
    text = Path("docs/performance.md").read_text()
    assert [text.count(marker) for marker in markers(command)] == [1, 1]


def test_the_picture_shows_every_row_and_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    for name in ("one", "other"):
        draw(ROWS, "a title", tmp_path / name)
    picture = (tmp_path / "one.svg").read_text()
    assert picture == (tmp_path / "other.svg").read_text()
    for row in ROWS:
        assert f"<!-- {row.name} -->" in picture
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
