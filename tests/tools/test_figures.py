"""The figures of the house style: which lines count, and reasons of broad excepts."""

from pathlib import Path

import pytest

from tools import figures

SOURCE = '''
def described(x):
    """Two lines
    of docstring."""

    # a comment
    def inner():
        return x

    return inner


async def short(): ...
'''


def test_code_alone_counts() -> None:
    assert sorted(figures.body_lengths(SOURCE)) == [1, 2, 4]


@pytest.mark.parametrize(
    ("line", "reasons"),
    [
        (
            "except Exception:  # the library raises nothing narrower",
            ["the library raises nothing narrower"],
        ),
        ("except BaseException as error:", [""]),
        ("except ValueError:", []),
    ],
)
def test_a_broad_except_has_its_reason_behind_it(
    tmp_path: Path, line: str, reasons: list[str]
) -> None:
    path = tmp_path / "module.py"
    path.write_text(f"try:\n    pass\n{line}\n    pass\n")
    assert list(figures.broad_excepts(path)) == reasons


def test_it_prints_a_line_for_each_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert figures.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "modules", "longest module", "functions", "fullest folder", "broad excepts",
    ]  # fmt: skip
    assert lines[-1].endswith("without a reason: 0")
