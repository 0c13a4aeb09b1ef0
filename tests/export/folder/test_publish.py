"""Publish: atomically, beside other exports and after killed ones."""

import ctypes
import errno
import fcntl
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from export.folder import publish


def make(folder: Path, content: str) -> None:
    (folder / "model.onnx").write_text(content)


def test_folder_appears_only_when_published(tmp_path: Path) -> None:
    with publish.staging(tmp_path, "m") as folder:
        make(folder, "one")
        assert folder.name.startswith(".")
        assert not (tmp_path / "m").exists()
        publish.publish(folder, tmp_path / "m")
        assert (tmp_path / "m/model.onnx").read_text() == "one"
    assert [path.name for path in sorted(tmp_path.iterdir())] == [".m.lock", "m"]


def test_failure_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    make(tmp_path / "m", "old")

    def fail() -> None:
        with publish.staging(tmp_path, "m") as folder:
            make(folder, "half")
            raise RuntimeError("conversion")

    with pytest.raises(RuntimeError, match="conversion"):
        fail()
    assert (tmp_path / "m/model.onnx").read_text() == "old"
    assert [path.name for path in sorted(tmp_path.iterdir())] == [".m.lock", "m"]


@pytest.mark.parametrize("can_exchange", [True, False])
def test_replacing_swaps_the_whole_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, can_exchange: bool
) -> None:
    if not can_exchange:  # as on file systems without RENAME_EXCHANGE
        monkeypatch.setattr(publish, "exchange", lambda *_: False)
    (tmp_path / "m").mkdir()
    (tmp_path / "m/only-in-old").touch()
    with publish.staging(tmp_path, "m") as folder:
        make(folder, "new")
        publish.publish(folder, tmp_path / "m")
    assert [path.name for path in (tmp_path / "m").iterdir()] == ["model.onnx"]
    assert [path.name for path in sorted(tmp_path.iterdir())] == [".m.lock", "m"]


def test_exchange_works_on_this_system(tmp_path: Path) -> None:
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert publish.exchange(tmp_path / "left", tmp_path / "right")
    assert (tmp_path / "left/right").exists()
    assert (tmp_path / "right/left").exists()


def test_exchange_says_what_went_wrong(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="right"):
        publish.exchange(tmp_path / "left", tmp_path / "right")


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EINVAL])
def test_exchange_is_false_where_it_is_not_supported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    library = SimpleNamespace(renameat2=lambda *_: -1)
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    monkeypatch.setattr(ctypes, "get_errno", lambda: code)
    assert not publish.exchange(tmp_path, tmp_path)


def test_exchange_is_false_where_the_c_library_lacks_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace())
    assert not publish.exchange(tmp_path, tmp_path)


def test_files_of_killed_exports_are_removed_for_every_model(tmp_path: Path) -> None:
    for name in ("m", "other"):
        (tmp_path / f".{name}.partial").mkdir()
        make(tmp_path / f".{name}.partial", "half")
        (tmp_path / f".{name}.lock").touch()
    with publish.staging(tmp_path, "m") as folder:
        assert list(folder.iterdir()) == []
        assert not (tmp_path / ".other.partial").exists()


def test_folder_of_a_running_export_is_left_alone(tmp_path: Path) -> None:
    with publish.staging(tmp_path, "other") as running, publish.staging(tmp_path, "m"):
        assert running.is_dir()


def test_export_killed_between_two_renames_is_undone(tmp_path: Path) -> None:
    (tmp_path / ".m.retired").mkdir()
    make(tmp_path / ".m.retired", "old")
    with publish.staging(tmp_path, "m"):
        assert (tmp_path / "m/model.onnx").read_text() == "old"


def test_retired_folder_is_removed_once_its_successor_is_in_place(tmp_path: Path) -> None:
    for name in ("m", ".m.retired"):
        (tmp_path / name).mkdir()
        make(tmp_path / name, name)
    with publish.staging(tmp_path, "m"):
        assert (tmp_path / "m/model.onnx").read_text() == "m"
        assert not (tmp_path / ".m.retired").exists()


def test_second_export_of_a_model_waits_for_the_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "export")
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with publish.staging(tmp_path, "m"):
            order.append("second")

    with publish.staging(tmp_path, "m"):
        thread = threading.Thread(target=second)
        thread.start()
        waiting.wait()
        with (tmp_path / ".m.lock").open() as stream, pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_published_files_can_be_read_by_every_user(tmp_path: Path) -> None:
    with publish.staging(tmp_path, "m") as folder:
        make(folder, "weights")
        (folder / "model.onnx").chmod(0o600)
        publish.publish(folder, tmp_path / "m")
    assert (tmp_path / "m/model.onnx").stat().st_mode & 0o777 == 0o644
