"""The bench's report and picture, and where both are written."""

from pathlib import Path

import pytest

from tools.bench.rate import Rate
from tools.bench.report import BENCH, draw, insert, markers
from tools.bench.subject import BULK, ONE_CORE, PACED, Subject, over

BEGIN, END = markers(BENCH)
SUBJECTS = [
    Subject(
        "cpu float32", {}, ours=True, parts={over(32): [Rate(180, 2, 4)], BULK: [Rate(9, 1, 1)]}
    ),
    Subject("bare session", {}, parts={ONE_CORE: [Rate(100, 1, 2)]}),
    Subject("somewhere else", {}, parts={over(32): [Rate(180, 2, None)]}),
    Subject("at a pace only", {}, parts={PACED: [Rate(180, 2, 1)]}),
]


def test_text_between_the_markers_is_replaced(tmp_path: Path) -> None:
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


def test_the_picture_shows_every_load_and_is_the_same_for_the_same_figures(tmp_path: Path) -> None:
    for name in ("one", "other"):
        draw(SUBJECTS, "a title", tmp_path / name)
    picture = (tmp_path / "one.svg").read_text()
    assert picture == (tmp_path / "other.svg").read_text()
    for shown in (over(32), BULK, ONE_CORE, "cpu float32", "bare session"):
        assert f"<!-- {shown} -->" in picture
    for hidden in ("somewhere else", "at a pace only"):
        assert f"<!-- {hidden} -->" not in picture
    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
