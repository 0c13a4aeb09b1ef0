"""What the bench found, as a table and as a picture, put where it is to be read."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tools.bench.rate import Rate

BENCH = "make bench"
PAGE = Path("docs/performance.md")
HEAD = (
    "| what | texts a second | texts a CPU-second | of the bare session's | median latency |\n"
    "|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement of one kind of service; `limit` is what the bare session does."""

    kind: str
    name: str
    rate: Rate
    limit: Rate | None = None

    def __str__(self) -> str:
        share = "" if self.limit is None else f"{self.rate.cpu / self.limit.cpu:.2f}"
        figures = f"{self.rate.wall:,.0f} | {self.rate.cpu:,.0f} | {share} | {self.rate.latency}"
        return f"| {self.name} | {figures} |"


def markers(command: str) -> tuple[str, str]:
    """What stands before and after the output of a command."""
    return f"<!-- begin: {command} -->", f"<!-- end: {command} -->"


def insert(page: Path, lines: Sequence[str], command: str = BENCH) -> None:
    """Put the lines between the command's markers on a page, in place of what stands there.

    Raises: ValueError where the page has no such place.
    """
    begin, end = markers(command)
    text = page.read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{page} does not hold {begin} and {end} once each")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    page.write_text("\n".join([before + begin, *lines, end + after]))


def draw(rows: Sequence[Row], title: str, place: Path) -> None:
    """Write `place`.png and `place`.svg: texts a CPU-second, one panel for each kind of service."""
    mpl.rcParams["svg.hashsalt"] = "bench"
    kinds = list(dict.fromkeys(row.kind for row in rows))
    counts = [sum(row.kind == kind for row in rows) for kind in kinds]
    figure = Figure(figsize=(9, 1.4 + 0.4 * sum(counts)), layout="constrained")
    figure.suptitle(title, fontsize="small")
    panels = figure.subplots(len(kinds), squeeze=False, sharex=True, height_ratios=counts)[:, 0]
    for kind, panel in zip(kinds, panels, strict=True):
        shown = [row for row in rows if row.kind == kind]
        colors = ["tab:blue" if row.limit else "tab:gray" for row in shown]
        bars = panel.barh(
            [row.name for row in shown], [row.rate.cpu for row in shown], color=colors
        )
        panel.bar_label(bars, [f"{row.rate.cpu:,.0f}" for row in shown], padding=3)
        panel.set_title(kind, loc="left", fontsize="medium")
        panel.invert_yaxis()
        panel.margins(x=0.1)
    panels[-1].set_xlabel("texts a CPU-second; blue: our server")
    for suffix in (".png", ".svg"):
        metadata = {"Date": None} if suffix == ".svg" else {}
        figure.savefig(place.with_suffix(suffix), dpi=90, metadata=metadata)
