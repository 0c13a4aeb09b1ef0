"""Results: the measurements of each model, kept in files, and the table made from them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from app.model.names import LOGITS, TASK_OUTPUTS, Task
from tools.process import ROOT

FOLDER = ROOT / ".test-models" / "results"
PAGE = ROOT / "docs" / "models.md"
PRECISIONS = ("float32", "bfloat16", "int8")
_BEGIN = "<!-- Written by `make test-models`; do not edit. -->\n"
_END = "<!-- The end of what is written. -->\n"
_HEAD = (
    "model",
    "architecture",
    "kind",
    "pooling",
    "padding",
    "float32",
    "alone and together",
    "bfloat16",
    "int8",
)


@dataclass(frozen=True)
class Figures:
    """Distance of one precision from the original, and of a question alone from one in a batch."""

    worst: float  # cosine of vectors; for scores the largest error
    together: float  # largest difference of a value, the vectors at length 1


@dataclass(frozen=True)
class Result:
    """The measurements of one model."""

    name: str
    architecture: str
    task: Task
    pooling: str
    sides: tuple[str, ...]
    figures: Mapping[str, Figures | None]  # by precision; None where no server starts in it
    longest: int  # tokens

    def store(self) -> None:
        """Store a result for the table."""
        path = _file(self.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, name: str) -> Self:
        """Load a model's stored result.

        Raises: OSError when there is none.
        """
        found = json.loads(_file(name).read_text())
        figures = {name: one and Figures(**one) for name, one in found["figures"].items()}
        return cls(**{**found, "figures": figures, "sides": tuple(found["sides"])})

    def row(self) -> tuple[str, ...]:
        """Return its line of the table."""
        exact = self.figures["float32"]
        assert exact is not None
        return (
            self.name,
            f"`{self.architecture}`",
            self.task,
            self.pooling,
            ", ".join(self.sides),
            self._worst("float32"),
            f"{exact.together:.0e}",
            self._worst("bfloat16"),
            self._worst("int8"),
        )

    def _worst(self, precision: str) -> str:
        if precision not in self.figures:
            return ""
        figures = self.figures[precision]
        if figures is None:
            return "refused"
        if TASK_OUTPUTS[self.task] == LOGITS:
            return f"± {figures.worst:.1g}"
        return f"{min(figures.worst, 1):.7f}"


def _file(name: str) -> Path:
    return FOLDER / f"{name.replace('/', '--')}.json"


def write_page(results: Sequence[Result]) -> None:
    """Replace the table of `docs/models.md`."""
    text = PAGE.read_text()
    start, end = text.index(_BEGIN) + len(_BEGIN), text.index(_END)
    PAGE.write_text(text[:start] + table(results) + text[end:])


def table(results: Sequence[Result]) -> str:
    """Return the results in Markdown, a line each."""
    lines = [_HEAD, tuple("---" for _ in _HEAD), *(one.row() for one in results)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
