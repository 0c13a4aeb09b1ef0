"""Output types: the ranges of a model's vectors, and what int8, binary and float16 cost it.

Both come from the reference's answers to the probes, so no model has to run. The ranges are those
of the probes that every export has, and costs are measured over the prose, which they were not
taken from. Exports without prose have nothing else to measure; a range is one number, which
hardly favours the texts it came from.
"""

from dataclasses import replace
from pathlib import Path

from app.model.manifest import PROBES_FILE, Manifest
from app.model.quantization import ranges_of
from app.proof.output_types import costs, with_length
from app.proof.probes import Probes
from export import probe_texts


def measured(manifest: Manifest, folder: Path) -> Manifest:
    """Return the manifest with ranges and costs, if its model has one dense vector for a text."""
    if manifest.task != "embedding":
        return manifest
    probes = Probes.read(folder / PROBES_FILE)
    prose = set(probe_texts.from_manual(probe_texts.PROSE))
    usable = probes.at(with_length(probes.vectors))
    compared = [place for place, text in enumerate(usable.texts) if text in prose]
    others = [place for place in range(len(usable)) if place not in set(compared)]
    if not others:
        return manifest  # no vector of any probe has a direction
    ranges = ranges_of(usable.vectors[others])
    found = costs(usable.vectors, compared or others, ranges)
    return replace(manifest, ranges=ranges, output_types=found)
