"""Calibration: the largest values of a graph's tensors over the probes."""

from pathlib import Path

import numpy as np

from app.model.manifest import PROBES_FILE, Manifest
from app.proof.probes import Probes
from export.precision import calibration
from tools import tiny


def test_tensors_are_measured_by_their_largest_entries(tiny_model: Path) -> None:
    manifest, probes = Manifest.read(tiny_model), Probes.read(tiny_model / PROBES_FILE)
    graph, padding = manifest.graphs[0], manifest.padding
    before = sorted(path.name for path in tiny_model.iterdir())
    entries = calibration.largest(tiny_model, graph, ["sum"], probes, padding)
    peaks = calibration.peaks(tiny_model, graph, ["sum"], probes, padding)
    ids = np.concatenate([one.input_ids for one in probes.inputs])
    expected = np.abs(tiny.TABLE[ids] + tiny.TYPES[0]).max(axis=0)
    np.testing.assert_allclose(entries["sum"], expected, atol=1e-6)
    np.testing.assert_allclose(peaks["sum"], expected.max(), atol=1e-6)
    assert sorted(path.name for path in tiny_model.iterdir()) == before
