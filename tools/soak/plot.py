"""The soak as a picture: memory, latency and outcomes of requests, over time."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from tools.soak.record import Record

LINES = {
    "answered": "tab:green",
    "rejected": "tab:olive",
    "refused": "tab:blue",
    "vanished": "tab:gray",
    "unaccepted": "tab:purple",
    "failed": "tab:red",
}
WORDS = {
    "answered": "answered",
    "rejected": "bad input, told so",
    "refused": "refused (429, 504)",
    "vanished": "client left",
    "unaccepted": "not taken while restarting",
    "failed": "lost or wrong",
}


def draw(record: Record, title: str, place: Path) -> None:
    """Write `place`.png and `place`.svg."""
    mpl.rcParams["svg.hashsalt"] = "soak"
    minutes = [sample.at / 60 for sample in record.samples]
    figure = Figure(figsize=(10, 9), layout="constrained")
    memory, latency, counts = figure.subplots(3, sharex=True)
    figure.suptitle(title)
    memory.plot(minutes, [sample.resident / 1e6 for sample in record.samples])
    memory.set_ylabel("resident memory, MB")
    memory.set_ylim(bottom=0)
    latency.semilogy(minutes, [sample.median * 1e3 for sample in record.samples], label="median")
    latency.semilogy(
        minutes, [sample.slow * 1e3 for sample in record.samples], label="99th percentile", lw=0.6
    )
    latency.set_ylabel("latency, ms")
    for name, color in LINES.items():
        values = [sample.counts[name] for sample in record.samples]
        counts.plot(minutes, values, color=color, label=f"{WORDS[name]}: {sum(values):,}", lw=0.8)
    counts.set_ylabel("requests a second")
    counts.set_xlabel("minutes; dotted: the other replica is restarted")
    _finish((memory, latency, counts), record)
    for suffix in (".png", ".svg"):
        metadata = {"Date": None} if suffix == ".svg" else {}
        figure.savefig(place.with_suffix(suffix), dpi=90, metadata=metadata)


def _finish(axes: Sequence[Any], record: Record) -> None:
    for axis in axes:
        axis.grid(alpha=0.3)
        for restart in record.restarts:
            axis.axvline(restart / 60, color="black", lw=0.4, ls=":")
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="upper right", fontsize="small")
