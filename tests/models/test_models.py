"""Every architecture is served with its original's results; run by `make test-models`."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.model.names import LOGITS, TASK_OUTPUTS
from export.precision import openvino
from tools.models.measure import Measured, Precision, measure, worse
from tools.models.real_models import REAL_MODELS, RealModel
from tools.models.results import Result
from tools.models.tiny_models import LENGTH, TINY_MODELS, Environment, TinyModel
from tools.process import ROOT

pytestmark = [
    pytest.mark.models,
    pytest.mark.timeout(1200),
    # The exporters use functions that torch has deprecated.
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
]

PYTHONS: Mapping[Environment, Path] = {
    "transformers4": Path(sys.executable),
    "transformers5": ROOT / ".venv-transformers5" / "bin" / "python",
}

# Only for real models: what random weights lose means nothing.
INT8 = Precision("int8", ("--provider", "cpu", "--dtype", "int8"), {})


@pytest.mark.parametrize("model", TINY_MODELS, ids=lambda model: model.name)
def test_tiny_model(model: TinyModel, precisions: list[Precision], tmp_path: Path) -> None:
    measured = []
    for side in model.sides:
        folder = tmp_path / side / model.name
        python = PYTHONS[model.environment]
        if python != PYTHONS["transformers4"] and not python.is_file():
            pytest.skip("`make setup-transformers5` has not been run")
        make = [str(python), "-m", "tools.models.checkpoints", model.name, str(folder), side]
        subprocess.run(make, cwd=ROOT, check=True)
        measured.append(measure(folder, tmp_path / side, precisions, python))
        assert measured[-1].manifest.padding.side == side
        if model.task == "embedding":
            files = {graph.file for graph in measured[-1].manifest.graphs}
            assert (openvino.FILE in files) == (not model.dense and "deberta" not in model.name)
    result = summary(model.name, measured)
    assert result.longest == LENGTH
    result.store()
    check(result)


@pytest.mark.parametrize("model", REAL_MODELS, ids=lambda model: model.name)
@pytest.mark.usefixtures("packages")
def test_real_model(model: RealModel, precisions: list[Precision], tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    model.write(folder)
    wanted = [*precisions, INT8]
    result = summary(model.name, [measure(folder, tmp_path, wanted, Path(sys.executable))])
    result.store()
    check(result)


def summary(name: str, measured: list[Measured]) -> Result:
    """Return the worst measurements of one model over all sides of padding."""
    manifest = measured[0].manifest
    return Result(
        name=name,
        architecture=manifest.source.architecture,
        task=manifest.task,
        pooling=manifest.pooling or "",
        sides=tuple(one.manifest.padding.side for one in measured),
        figures={
            precision: worse([one.figures[precision] for one in measured], manifest.task)
            for precision in measured[0].figures
        },
        longest=manifest.max_input_length,
    )


def check(result: Result) -> None:
    """Fail unless float32 answers are the original's, however they are batched.

    What a lower precision costs is shown; a server that starts in one has judged it already.
    """
    exact = result.figures["float32"]
    assert exact is not None
    assert exact.together <= 1e-5
    if TASK_OUTPUTS[result.task] == LOGITS:
        assert exact.worst <= 1e-4
    else:
        assert exact.worst >= 0.99999
