"""`python -m tools.figures`: the figures that the house style bounds.

A line of a module is any line; a line of a function is one of code, its docstring left out.
"""

import ast
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAMS = ("app", "export")


def main() -> int:
    """Print a line for each figure."""
    paths = [path for program in PROGRAMS for path in sorted((ROOT / program).rglob("*.py"))]
    modules = [path for path in paths if path.name != "__init__.py"]
    lengths = [len(path.read_text().splitlines()) for path in modules]
    bodies = [length for path in modules for length in body_lengths(path.read_text())]
    folders = {path.parent for path in modules}
    fullest = max(folders, key=lambda folder: len(files_in(folder)))
    broad = [name for path in modules for name in broad_excepts(path)]
    print(f"modules: {len(modules)}, of {sum(lengths)} lines")
    print(f"longest module: {max(lengths)}; median: {statistics.median(lengths):g}")
    print(
        f"functions: {len(bodies)}; mean: {statistics.mean(bodies):.1f} lines; over 50: {over(bodies, 50)}"
    )
    print(f"fullest folder: {fullest.relative_to(ROOT)}, {len(files_in(fullest))} files")
    print(f"broad excepts: {len(broad)}, without a reason: {sum(not one for one in broad)}")
    return 0


def files_in(folder: Path) -> list[Path]:
    """The modules of a folder, without what makes it a package."""
    return [path for path in folder.glob("*.py") if path.name != "__init__.py"]


def body_lengths(source: str) -> Iterator[int]:
    """Yield each function's lines of code: no blanks, no comments, no docstring."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        start = node.body[0]
        described = ast.get_docstring(node, clean=False) is not None
        skipped = range(start.lineno, (start.end_lineno or 0) + 1) if described else range(0)
        assert node.end_lineno is not None
        yield sum(
            bool(text := lines[number - 1].strip()) and not text.startswith("#")
            for number in range(node.lineno, node.end_lineno + 1)
            if number not in skipped
        )


def broad_excepts(path: Path) -> Iterator[str]:
    """The comment of each `except Exception` and wider."""
    for line in path.read_text().splitlines():
        text = line.strip()
        if text.startswith(("except Exception", "except BaseException", "except:")):
            yield text.partition("#")[2].strip()


def over(numbers: list[int], bound: int) -> int:
    """Return how many are larger."""
    return sum(number > bound for number in numbers)


if __name__ == "__main__":
    sys.exit(main())
