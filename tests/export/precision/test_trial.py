"""Trials: whether another graph is still the model, over its probes."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from app.model.batch import collate
from app.model.manifest import PROBES_FILE, Manifest
from app.model.names import SENTENCE_EMBEDDING
from app.model.parts import Padding
from app.proof.probes import Probes
from export.precision import trial
from tools import tiny

PADDING = Padding(0, 0, "right")


@pytest.fixture
def source(tiny_model: Path, tmp_path: Path) -> trial.Model:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    manifest = Manifest.read(folder)
    return trial.Model(
        folder, manifest.graphs[0], manifest.padding, "embedding", Probes.read(folder / PROBES_FILE)
    )


def test_the_same_graph_is_the_same_model_and_lies_there_as_the_trial(
    source: trial.Model, caplog: pytest.LogCaptureFixture
) -> None:
    model = onnx.load(source.folder / source.exact.file)
    caplog.set_level("INFO", "export")
    assert trial.fault(model, source) is None
    assert (source.folder / trial.FILE).is_file()
    running = f"trying a graph in float32: running {len(source.probes)} probes"
    assert caplog.messages == [running]


def test_a_graph_of_other_weights_fails_with_its_figure(source: trial.Model) -> None:
    model = onnx.load(source.folder / source.exact.file)
    [table] = [one for one in model.graph.initializer if one.name == "table"]
    values = numpy_helper.to_array(table)
    table.CopyFrom(numpy_helper.from_array(np.roll(values, 1, axis=1), "table"))
    found = trial.fault(model, source)
    assert found is not None
    assert "cosine" in found


@pytest.mark.parametrize("fuse", [True, False])
def test_a_session_yields_the_outputs_that_are_named(tiny_model: Path, fuse: bool) -> None:
    session = trial.CpuSession(tiny_model / "model.onnx", tiny.INPUTS, fuse=fuse)
    inputs = [tiny.encoded("the cat"), tiny.encoded("dog")]
    found = session.run(collate(inputs, PADDING), [SENTENCE_EMBEDDING])
    assert list(found) == [SENTENCE_EMBEDDING]
    expected = [tiny.reference(one.input_ids) for one in inputs]
    np.testing.assert_allclose(found[SENTENCE_EMBEDDING], expected, atol=1e-6)
