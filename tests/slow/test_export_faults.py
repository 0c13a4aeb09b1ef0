"""Exports that run out of disk, are killed, or replace what is being served."""

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.model.manifest import Manifest
from tests.support.tiny_checkpoints import write_bert
from tools import client, process
from tools.process import ROOT, Server, eventually

pytestmark = pytest.mark.slow

KILLS = 8
TEXT = "the rain in paris"
# A component's change where the health probe, of one word, shares the run and pads it.
PADDED = 4e-4


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two checkpoints of one name and other weights."""
    place = tmp_path_factory.mktemp("checkpoints")
    return write_bert(place / "old/m", seed=0), write_bert(place / "new/m", seed=9)


@pytest.fixture(scope="module")
def exported(checkpoints: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    export(checkpoints[0], models)
    return models / checkpoints[0].name


def start(checkpoint: Path, models: Path) -> "subprocess.Popen[str]":
    return process.start(
        [sys.executable, "-B", "-m", "export", str(checkpoint), "--models-dir", str(models)],
        cwd=ROOT,
        env=process.variables(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def export(checkpoint: Path, models: Path) -> None:
    child = start(checkpoint, models)
    _, errors = child.communicate(timeout=300)
    assert (child.returncode, errors) == (0, "")


def fingerprint(folder: Path) -> str:
    """Return the fingerprint of a folder whose files all match its manifest."""
    manifest = Manifest.read(folder)
    manifest.verify_files(folder)
    return manifest.fingerprint


@contextlib.contextmanager
def disk(place: Path, size: int) -> Iterator[Path]:
    """Mount a file system of a given size."""
    place.mkdir()
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs"]
    made = subprocess.run(["/bin/mount", *options, str(place)], capture_output=True, text=True)
    assert made.returncode == 0, f"mounting needs root: {made.stderr}"
    try:
        yield place
    finally:
        subprocess.run(["/bin/umount", str(place)], check=True)


def size_of(folder: Path) -> int:
    """Return the bytes of its files, in whole pages."""
    return sum(-(-path.stat().st_size // 4096) * 4096 for path in folder.iterdir())


@pytest.mark.parametrize("room", [0.02, 0.5, 0.9])
def test_a_full_disk_is_one_line_and_keeps_the_old_folder(
    exported: Path, checkpoints: tuple[Path, Path], tmp_path: Path, room: float
) -> None:
    whole = size_of(exported)
    with disk(tmp_path / "disk", whole + 4096 * 8 + int(room * whole)) as models:
        shutil.copytree(exported, models / exported.name)
        before = fingerprint(exported)
        child = start(checkpoints[1], models)
        _, errors = child.communicate(timeout=300)
        assert child.returncode == 1
        assert errors.startswith("error: no space left to write"), errors
        assert errors.count("\n") == 1
        assert {one.name for one in models.iterdir()} <= {exported.name, f".{exported.name}.lock"}
        assert fingerprint(models / exported.name) == before


def test_an_export_killed_at_any_moment_leaves_the_old_folder_or_the_new(
    exported: Path, checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    old, place = fingerprint(exported), tmp_path / exported.name
    shutil.copytree(exported, place)
    started = time.monotonic()
    export(checkpoints[1], tmp_path)
    seconds = time.monotonic() - started
    new = fingerprint(place)
    assert new != old
    dice = random.Random(4)
    for _ in range(KILLS):
        checkpoint = checkpoints[0] if fingerprint(place) == new else checkpoints[1]
        child = start(checkpoint, tmp_path)
        time.sleep(dice.uniform(0, seconds))
        child.kill()
        child.communicate()
        assert fingerprint(place) in {old, new}
    export(checkpoints[0], tmp_path)
    assert fingerprint(place) == old
    assert sorted(one.name for one in tmp_path.iterdir()) == [f".{place.name}.lock", place.name]


def ask(port: int) -> NDArray[np.float32]:
    reply = client.post(port, "/embed", {"inputs": TEXT})
    assert reply.status == 200
    return np.array(reply.json, np.float32)


def test_an_export_while_the_model_is_served_changes_nothing_until_the_next_start(
    exported: Path, checkpoints: tuple[Path, Path], tmp_path: Path
) -> None:
    place = tmp_path / exported.name
    shutil.copytree(exported, place)
    server = Server("--model-id", str(place), "--log-level", "warn", log=tmp_path / "log")
    try:
        server.wait_ready()
        before = ask(server.port)
        found: list[NDArray[np.float32]] = []
        stop = threading.Event()

        def load() -> None:
            while not stop.is_set():
                found.append(ask(server.port))

        thread = threading.Thread(target=load)
        thread.start()
        export(checkpoints[1], tmp_path)
        so_far = len(found)
        eventually(lambda: not thread.is_alive() or len(found) >= so_far + 50)
        stop.set()
        thread.join()
        assert len(found) >= so_far + 50
        for vectors in found:
            np.testing.assert_allclose(vectors, before, atol=PADDED)
        server.signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    finally:
        server.stop()
    again = Server("--model-id", str(place), "--log-level", "warn")
    try:
        again.wait_ready()
        assert np.abs(ask(again.port) - before).max() > 100 * PADDED
    finally:
        again.stop()
