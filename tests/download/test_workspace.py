"""Working folders of a start, and the removal of those that a killed start leaves."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.download.workspace import temporary_folder
from tests.support.preparing import EXACT, expected, fault, served, settings_for
from tools.process import ROOT, Server, end, start, variables


def test_leftovers_of_a_killed_start_are_removed_by_the_next(folder: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    environment = {"TMPDIR": str(temporary)}
    script = "from app.download.workspace import temporary_folder as t\nwith t(): print(), input()"
    killed = start(
        [sys.executable, "-u", "-c", script], cwd=ROOT, env=variables(environment),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert killed.stdout is not None
    killed.stdout.readline()
    end(killed)
    assert len(list(temporary.iterdir())) == 1
    server = Server("--model-id", str(folder), *EXACT, environment=environment)
    server.wait_ready()
    np.testing.assert_allclose(served(server), expected(), atol=1e-6)
    assert list(temporary.iterdir()) == []
    server.signal()
    assert "which a start that was killed has left" in server.output()


def test_a_temporary_folder_in_use_or_of_others_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "embedding-service-link").symlink_to("elsewhere")
    (tmp_path / "embedding-service-file").touch()
    with temporary_folder() as first, temporary_folder() as second:
        assert first != second
        assert first.is_dir()
    assert {path.name for path in tmp_path.iterdir()} == {
        "elsewhere", "embedding-service-link", "embedding-service-file"
    }  # fmt: skip


def test_a_cache_folder_that_cannot_be_written_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    message = fault(settings_for(tmp_path, model_id=str(folder), cache_dir=tmp_path / "file"))
    place = tmp_path / "file"
    assert message == f"File exists ({place}): see that --cache-dir can be written"


def test_without_a_place_for_temporary_files_the_option_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    message = fault(settings_for(tmp_path, model_id=str(folder), cache_dir=None))
    assert message == (
        "there is no temporary folder to prepare the model in (No such file or directory): name a "
        "folder that can be written with --cache-dir"
    )
