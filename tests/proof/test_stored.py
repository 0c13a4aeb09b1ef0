"""Stored probes are those of the manifest's model, or refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.proof.probes import ProbesError
from app.proof.stored import read_probes
from tools import tiny


def test_probes_of_the_model_are_read(tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path)
    assert read_probes(tmp_path, manifest).texts == tiny.PROBE_TEXTS


def test_probes_of_another_model_are_refused(tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path)
    with pytest.raises(ProbesError, match="holds answers of 16 values, the manifest says 8"):
        read_probes(tmp_path, replace(manifest, dimensions=8))
    with pytest.raises(ProbesError, match="holds no lexical_weights: export the model again"):
        read_probes(
            tmp_path, replace(manifest, lexical=tiny.build(tmp_path / "m", whole=True).lexical)
        )
