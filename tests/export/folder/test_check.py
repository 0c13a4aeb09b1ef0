"""`--check`: a folder is proved again from its own content alone."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.model.manifest import PROBES_FILE, Manifest
from app.model.names import Dtype, Task
from app.model.parts import Certificate
from app.proof.probes import Probes
from export.errors import ExportError
from export.folder import prove
from export.folder.check import Checked
from export.folder.check import check as check_folder
from tests.support.certificates import certificate
from tools import tiny
from tools.process import ROOT

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a model under the name that an export gives it."""
    place = tmp_path / "org--name"
    tiny.build(place)
    return place


def verdicts(lines: list[str]) -> list[str]:
    """Return the lines with results, without those of progress."""
    return [line for line in lines if line.split()[0] in {"proved", "MISSED", "unused"}]


def check(start: Start, *arguments: object) -> tuple[int, list[str], str]:
    child = start("--check", *arguments)
    output, errors = child.communicate(timeout=300)
    return child.returncode, output.splitlines(), errors


def test_an_unchanged_folder_is_proved_line_by_line(start_export: Start, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    status, lines, errors = check(start_export, folder)
    assert (status, errors) == (0, "")
    [line] = verdicts(lines)  # its manifest names no other provider of this machine
    assert line.startswith("proved   cpu in float32: worst cosine 1.0000000, overlap of nearest")
    assert line.endswith(f"over {len(tiny.PROBE_TEXTS)} texts (needed: at least 0.99999)")
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_each_step_is_announced(start_export: Start, folder: Path) -> None:
    _, lines, _ = check(start_export, folder)
    assert lines[0] == f"checking the files of {folder}, and how its probes are tokenized"
    probes = len(tiny.PROBE_TEXTS)
    assert re.fullmatch(rf"cpu in float32: running {probes} probes \(1 of \d\)", lines[1])


def measured(dtype: Dtype, **figures: float) -> Certificate:
    """A processor's possible result in this precision."""
    good = certificate(
        provider="openvino",
        compute_dtype=dtype,
        worst_cosine=0.9998,
        mean_cosine=0.9999,
        largest_error=0.001,
        first_percentile=0.99995,
        neighbour_overlap=0.99,
    )
    return replace(good, **figures)  # type: ignore[arg-type]  # all of them are numbers


@pytest.mark.parametrize(
    ("task", "found", "verdict"),
    [
        ("embedding", {}, "proved   {} (--dtype auto takes it)"),
        (
            "embedding",
            {"worst_cosine": 0.9992},
            "unused   {} (not taken by auto: the worst cosine is 0.99920, needed at least 0.9995)",
        ),
        (
            "embedding",
            {"worst_cosine": 0.99},
            "unused   {} (not taken by auto: worst cosine 0.9900000, needed at least 0.999)",
        ),
        (
            "reranker",
            {"largest_logit": 1.0},
            "unused   {} (not taken by auto: scores are computed in float32)",
        ),
    ],
)
def test_a_precision_that_was_not_promised_cannot_fail(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    task: Task,
    found: dict[str, float],
    verdict: str,
) -> None:
    tiny.build(folder, task)
    one = measured("bfloat16", **found)
    monkeypatch.setattr(prove, "replay", lambda *_: prove.Replayed((one,), ()))
    caplog.set_level("INFO")
    check_folder(Checked(str(folder), folder.parent))
    [line] = prove.quality(task, [one])
    assert caplog.messages == [verdict.format(line)]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_a_precision_that_was_exported_by_name_can_fail(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, dtype: Dtype
) -> None:
    manifest = Manifest.read(folder)
    replace(manifest, graphs=(*manifest.graphs, replace(manifest.graphs[0], dtype=dtype))).write(
        folder
    )
    one = measured(dtype, worst_cosine=0.9)
    monkeypatch.setattr(prove, "replay", lambda *_: prove.Replayed((one,), ()))
    caplog.set_level("INFO")
    with pytest.raises(ExportError, match="does not give its original's answers here"):
        check_folder(Checked(str(folder), folder.parent))
    assert caplog.messages[0].startswith("MISSED   openvino in ")


def test_a_model_is_found_by_its_id(start_export: Start, folder: Path) -> None:
    status, _, errors = check(start_export, "org/name", "--models-dir", folder.parent)
    assert (status, errors) == (0, "")


def test_answers_that_differ_are_missed(start_export: Start, folder: Path) -> None:
    probes = Probes.read(folder / PROBES_FILE)
    vectors = probes.vectors.copy()
    vectors[1] += 1
    replace(probes, vectors=vectors).write(folder / PROBES_FILE)
    tiny.seal(folder, Manifest.read(folder))
    status, lines, errors = check(start_export, folder)
    [line] = verdicts(lines)
    assert status == 1
    assert line.startswith("MISSED   cpu in float32: worst cosine 0.")
    assert errors == (
        f"error: {folder} does not give its original's answers here: export it again\n"
    )


def test_a_changed_byte_is_named(start_export: Start, folder: Path) -> None:
    content = bytearray((folder / "model.onnx.data").read_bytes())
    content[100] ^= 1
    (folder / "model.onnx.data").write_bytes(content)
    status, lines, errors = check(start_export, folder)
    assert (status, verdicts(lines)) == (1, [])
    assert "model.onnx.data is not the file that was exported" in errors
    assert errors.count("\n") == 1


def test_a_model_that_is_not_exported_is_named(start_export: Start, tmp_path: Path) -> None:
    status, _, errors = check(start_export, "org/name", "--models-dir", tmp_path)
    assert status == 1
    assert errors.startswith("error: org/name is not exported: neither it nor its place in ")


def test_nothing_of_the_export_is_needed(folder: Path) -> None:
    absent = ("torch", "transformers", "optimum", "onnx", "huggingface_hub", "safetensors")
    script = (
        f"import sys; sys.modules |= dict.fromkeys({absent!r}); "
        "from export.__main__ import main; "
        f"sys.exit(main(['--check', {str(folder)!r}]))"
    )
    child = subprocess.run(  # a module of ours
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stderr) == (0, "")


def test_probes_of_other_texts_are_named(start_export: Start, folder: Path) -> None:
    probes = Probes.read(folder / PROBES_FILE)
    other = replace(probes, inputs=probes.inputs[::-1], vectors=np.flip(probes.vectors, 0))
    other.write(folder / PROBES_FILE)
    tiny.seal(folder, Manifest.read(folder))
    status, _, errors = check(start_export, folder)
    assert status == 1
    assert "'a' is tokenized as" in errors
