"""A dry run reports what a start would do, and does nothing that lasts."""

import re
from pathlib import Path

import pytest

from app import dry_run
from app.download import finding
from app.errors import StartupError
from app.options.settings import Settings
from app.telemetry import memory
from tests.support.preparing import EXACT, MODEL, OFFLINE, prepare, settings_for
from tests.support.snapshot import contents, write_cache, write_folder
from tools import tiny
from tools.process import Server, free_port, launch


def told(*each: Settings, environment: dict[str, str] | None = None) -> list[str]:
    return list(dry_run.report(each, OFFLINE if environment is None else environment))


def test_an_exported_model_is_loaded_and_measured(tmp_path: Path) -> None:
    tiny.build(tmp_path / "models/tests--small")
    lines = told(settings_for(tmp_path, model_id="small", dtype="float32"))
    assert lines[:5] == [
        MODEL,
        f"  from       {tmp_path}/models/tests--small, an exported model",
        "  is         embedding, 16 dimensions, inputs of up to 12 tokens",
        "  computes   on cpu in float32: float32 was asked for",
        "  graph      model.onnx",
    ]
    measured = re.fullmatch(
        r"memory       ([\d,]+) MB once warm, of ([\d,]+) MB that the process may hold", lines[5]
    )
    assert measured is not None
    held, most = (int(one.replace(",", "")) for one in measured.groups())
    assert 20 < held < most


def test_several_models_are_named_again_where_they_are_described(tmp_path: Path) -> None:
    tiny.build(tmp_path / "dense")
    tiny.build(tmp_path / "ranks", "reranker")
    each = [settings_for(tmp_path, model_id=str(tmp_path / one)) for one in ("dense", "ranks")]
    lines = told(*each)
    names = [str(tmp_path / one) for one in ("dense", "ranks")]
    assert [line for line in lines if line in names] == names * 2


def test_a_snapshot_would_be_prepared_first_and_is_not(tmp_path: Path) -> None:
    write_cache(tmp_path / "data", write_folder(tmp_path / "snapshot"))
    before = contents(tmp_path)
    settings = settings_for(tmp_path)
    lines = told(settings)
    assert re.fullmatch(
        r"  from       .*/onnx/model\.onnx, which would be prepared and proved first", lines[1]
    )
    assert lines[2:] == ["precision and memory: known once every model is there"]
    assert contents(tmp_path) == before
    place = prepare(settings)
    assert told(settings)[1].startswith(f"  from       {place}, prepared before from ")


def test_a_model_that_is_not_here_may_be_on_the_hub(tmp_path: Path) -> None:
    lines = told(settings_for(tmp_path), environment={})
    place = tmp_path / "data"
    assert lines[1] == f"  from       the Hub, if it has it: downloaded to {place} first"
    assert lines[2:] == ["precision and memory: known once every model is there"]
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_nowhere_is_refused_as_at_a_start(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="tests/small is not exported: neither it nor "):
        told(settings_for(tmp_path))


def test_the_program_prints_it_and_ends(tmp_path: Path) -> None:
    tiny.build(tmp_path)
    arguments = ["--model-id", str(tmp_path), "--dry-run", "--port", str(free_port()), *EXACT]
    process = launch(arguments, {})
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0
    assert output.splitlines()[0] == str(tmp_path)
    assert "  computes   on cpu in float32: float32 was asked for\n" in output
    assert "INFO" not in output


def test_beside_a_server_that_runs_the_port_is_a_warning(tmp_path: Path) -> None:
    tiny.build(tmp_path)
    with Server("--model-id", str(tmp_path)) as running:
        running.wait_ready()
        port = running.port
        process = launch(["--model-id", str(tmp_path), "--dry-run", "--port", str(port)], {})
        output, _ = process.communicate(timeout=300)
    first, second, *_ = output.splitlines()
    assert process.returncode == 0
    assert first.startswith(f"warning: cannot listen on 0.0.0.0:{port}: Address already in use")
    assert second == str(tmp_path)


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/a/cache")

    monkeypatch.setattr(finding, "snapshots", refuse)  # as for any user but root
    with pytest.raises(StartupError, match=r"cannot be read: Permission denied \(/a/cache\)$"):
        told(settings_for(tmp_path))


def test_a_lack_of_memory_is_reported_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.build(tmp_path)
    monkeypatch.setattr(memory, "limit_bytes", lambda: 1000)
    lines = told(settings_for(tmp_path, model_id=str(tmp_path)))
    assert lines[2].startswith(f"  warning    the weights in {tmp_path} are ")
    assert lines[3].startswith("  is         embedding")
