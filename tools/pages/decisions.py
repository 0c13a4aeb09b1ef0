"""Index of decisions: the title of each record in `docs/decisions/`, with a link."""

from pathlib import Path


def decision_lines(folder: Path) -> list[str]:
    """Return a line for each record, in the order of their numbers.

    Raises: ValueError for a record that does not begin with `# N. Title`, N being its number.
    """
    return [_line(path) for path in sorted(folder.glob("[0-9]*.md"))]


def _line(path: Path) -> str:
    heading = path.read_text().partition("\n")[0]
    number, _, title = heading.removeprefix("# ").partition(". ")
    if not title or not number.isdecimal() or int(number) != int(path.name.partition("-")[0]):
        raise ValueError(f"{path.name} does not begin with its number and a title: {heading!r}")
    return f"{number}. [{title}]({path.name})"
