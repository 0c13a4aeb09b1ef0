"""`--check`: a folder is proved again from nothing but what it holds."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.inference.manifest import PROBES_FILE, Manifest
from app.inference.probes import Probes
from tests import tiny

ROOT = Path(__file__).resolve().parents[2]
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a model by the name that it would be exported under."""
    place = tmp_path / "org--name"
    tiny.build(place)
    return place


def check(start: Start, *arguments: object) -> tuple[int, list[str], str]:
    child = start("--check", *arguments)
    output, errors = child.communicate(timeout=60)
    return child.returncode, output.splitlines(), errors


def test_an_unchanged_folder_is_proved_line_by_line(start_export: Start, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    status, lines, errors = check(start_export, folder)
    assert (status, errors) == (0, "")
    [line] = lines  # its manifest names no other provider that is here
    assert line.startswith("proved   cpu in float32: worst cosine 1.0000000, overlap of nearest")
    assert line.endswith(f"over {len(tiny.PROBE_TEXTS)} texts (needed: at least 0.99999)")
    assert before == {path: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_a_model_is_found_by_its_id(start_export: Start, folder: Path) -> None:
    status, _, errors = check(start_export, "org/name", "--models-dir", folder.parent)
    assert (status, errors) == (0, "")


def test_answers_that_differ_are_missed(start_export: Start, folder: Path) -> None:
    probes = Probes.read(folder / PROBES_FILE)
    vectors = probes.vectors.copy()
    vectors[1] += 1
    replace(probes, vectors=vectors).write(folder / PROBES_FILE)
    tiny.seal(folder, Manifest.read(folder))
    status, [line], errors = check(start_export, folder)
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
    assert (status, lines) == (1, [])
    assert "model.onnx.data is not the file that was exported" in errors
    assert errors.count("\n") == 1


def test_what_is_not_exported_is_said(start_export: Start, tmp_path: Path) -> None:
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
    child = subprocess.run(  # our own module
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
