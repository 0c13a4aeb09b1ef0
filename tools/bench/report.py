"""Publish what a tool found: between markers on a page, and as a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from tools.bench.subject import BULK, CONNECTIONS, ONE_CORE, PASSAGES, Subject, over

BENCH = "make bench"
PAGE = Path("docs/performance.md")
PANELS = (over(CONNECTIONS[-1]), BULK, ONE_CORE, PASSAGES)


def markers(command: str) -> tuple[str, str]:
    """Return the markers before and after a command's output."""
    return f"<!-- begin: {command} -->", f"<!-- end: {command} -->"


def insert(page: Path, lines: Sequence[str], command: str = BENCH) -> None:
    """Replace the lines between a command's markers on a page.

    Raises: ValueError where the page has no such markers.
    """
    begin, end = markers(command)
    text = page.read_text()
    if text.count(begin) != 1 or text.count(end) != 1:
        raise ValueError(f"{page} does not hold {begin} and {end} once each")
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    page.write_text("\n".join([before + begin, *lines, end + after]))


def draw(subjects: Sequence[Subject], title: str, place: Path) -> None:
    """Write `place`.png and `place`.svg: texts a CPU-second, one panel for each load."""
    mpl.rcParams["svg.hashsalt"] = "bench"
    panels = {load: _measured(subjects, load) for load in PANELS}
    panels = {load: found for load, found in panels.items() if found}
    counts = [len(found) for found in panels.values()]
    figure = Figure(figsize=(9, 1.4 + 0.4 * sum(counts)), layout="constrained")
    figure.suptitle(title, fontsize="small")
    axes = figure.subplots(len(panels), squeeze=False, height_ratios=counts)[:, 0]
    for (load, found), panel in zip(panels.items(), axes, strict=True):
        colors = ["tab:blue" if one.ours else "tab:gray" for one, _ in found]
        figures = [figure for _, figure in found]
        bars = panel.barh([one.name for one, _ in found], figures, color=colors)
        panel.bar_label(bars, [f"{figure:,.0f}" for figure in figures], padding=3)
        panel.set_title(load, loc="left", fontsize="medium")
        panel.invert_yaxis()
        panel.margins(x=0.1)
    axes[-1].set_xlabel("texts a CPU-second; blue: our server")
    for suffix in (".png", ".svg"):
        metadata = {"Date": None} if suffix == ".svg" else {}
        figure.savefig(place.with_suffix(suffix), dpi=90, metadata=metadata)


def _measured(subjects: Sequence[Subject], load: str) -> list[tuple[Subject, float]]:
    """Return the subjects whose texts per CPU-second under a load are known."""
    rates = ((one, one.rate(load)) for one in subjects)
    return [(one, rate.cpu) for one, rate in rates if rate is not None and rate.cpu]
