"""The command `python -m export`: exit statuses, signals, two at once, a full disk."""

import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from app.model.lookup import repository
from app.model.manifest import Manifest
from export import pipeline
from export.cli import Request
from tools.process import ROOT

Start = Callable[..., subprocess.Popen[str]]


def wait_for(child: subprocess.Popen[str], words: str) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if words in line:
            return
    raise AssertionError(f"the export ended without {words!r}")


@pytest.mark.slow
def test_steps_are_announced_and_summed_up(start_export: Start, bert: Path, tmp_path: Path) -> None:
    child = start_export(bert, "--models-dir", tmp_path)
    output, errors = child.communicate(timeout=300)
    assert (child.returncode, errors) == (0, "")
    lines = output.splitlines()
    steps = [line[:5] for line in lines if line.startswith("[")]
    assert steps == [f"[{i}/6]" for i in range(1, 7)]
    quality = next(line for line in lines if "worst cosine" in line)
    assert quality.startswith("cpu in float32: worst cosine 1.0000000, overlap of nearest")
    assert lines[-1].startswith(f"{tmp_path / 'tiny-bert'}: ")
    assert repository.find(str(bert), None, tmp_path) == tmp_path / "tiny-bert"


def test_model_that_is_there_costs_no_heavy_import(exported: Path) -> None:
    script = (
        "import sys; from export.__main__ import main; "
        f"main(['tiny-bert', '--models-dir', {str(exported.parent)!r}, '--if-missing']); "
        "assert not {'torch', 'onnx', 'huggingface_hub', 'transformers'} & set(sys.modules)"
    )
    child = subprocess.run(  # a module of ours
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (child.returncode, child.stderr) == (0, "")
    assert child.stdout == f"{exported} is there already\n"


def test_failure_is_one_line_and_exit_status_1(start_export: Start, tmp_path: Path) -> None:
    child = start_export(tmp_path, "--models-dir", tmp_path / "models")
    _, errors = child.communicate(timeout=300)
    assert child.returncode == 1
    assert errors == f"error: {tmp_path} has no config.json: it is not a Hugging Face model\n"


def test_place_that_cannot_be_written_is_named(
    start_export: Start, bert: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    child = start_export(bert, "--models-dir", tmp_path / "file" / "models")
    output, errors = child.communicate(timeout=300)
    assert (child.returncode, output) == (1, "")
    assert errors.startswith("error: Not a directory")
    assert str(tmp_path / "file") in errors
    assert errors.count("\n") == 1


@pytest.mark.slow
def test_missing_package_is_named(bert: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['optimum'] = None; from export.__main__ import main; "
        f"sys.exit(main([{str(bert)!r}, '--models-dir', {str(tmp_path)!r}]))"
    )
    child = subprocess.run(  # a module of ours
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert child.returncode == 1
    assert "optimum" in child.stderr
    assert child.stderr.endswith(": install what the export needs (make setup)\n")
    assert child.stderr.count("\n") == 1


@pytest.mark.slow
def test_killed_export_leaves_nothing_to_load_and_the_next_one_cleans_up(
    start_export: Start, bert: Path, tmp_path: Path
) -> None:
    child = start_export(bert, "--models-dir", tmp_path)
    wait_for(child, "[4/6]")
    child.kill()
    child.communicate()
    assert repository.find(str(bert), None, tmp_path) is None
    assert (tmp_path / ".tiny-bert.partial").is_dir()

    place = pipeline.export(Request(str(bert), models_dir=tmp_path))
    Manifest.read(place).verify_files(place)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tiny-bert.lock", "tiny-bert"]


@pytest.mark.slow
@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize(
    ("sent", "status"),
    [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGHUP, 129)],
    ids=["SIGTERM", "SIGINT", "SIGHUP"],
)
def test_ended_export_cleans_up_itself(
    start_export: Start, bert: Path, tmp_path: Path, sent: signal.Signals, status: int
) -> None:
    child = start_export(bert, "--models-dir", tmp_path)
    wait_for(child, "[3/6]")
    child.send_signal(sent)
    _, errors = child.communicate(timeout=300)
    assert child.returncode == status
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] == [".tiny-bert.lock"]


@pytest.mark.slow
def test_two_exports_at_once_both_succeed(start_export: Start, bert: Path, tmp_path: Path) -> None:
    children = [start_export(bert, "--models-dir", tmp_path) for _ in range(2)]
    outputs = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0, 0], outputs
    assert sum("waiting for another export of tiny-bert" in output for output, _ in outputs) == 1
    Manifest.read(tmp_path / "tiny-bert").verify_files(tmp_path / "tiny-bert")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tiny-bert.lock", "tiny-bert"]


@pytest.mark.slow
def test_file_that_may_not_grow_is_one_line_and_keeps_the_old_folder(
    exported: Path, bert: Path, tmp_path: Path
) -> None:
    shutil.copytree(exported, tmp_path / "tiny-bert")

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    child = subprocess.run(  # a module of ours
        [sys.executable, "-B", "-m", "export", str(bert), "--models-dir", str(tmp_path)],
        cwd=ROOT,
        preexec_fn=limit_file_size,
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 1
    assert child.stderr.startswith("error: no space left to write")
    assert child.stderr.count("\n") == 1
    Manifest.read(tmp_path / "tiny-bert").verify_files(tmp_path / "tiny-bert")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tiny-bert.lock", "tiny-bert"]
