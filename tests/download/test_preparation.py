"""Serving straight from a snapshot that holds ONNX: where it is found, and its preparation."""

import fcntl
import logging
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest

from app.download import preparation
from app.errors import StartupError
from app.model.lookup.hub_cache import graph_file
from app.model.manifest import Manifest
from app.options.settings import Settings
from tests.support.preparing import (
    BY_NAME,
    EXACT,
    MODEL,
    OFFLINE,
    expected,
    fault,
    prepare,
    served,
    settings_for,
)
from tests.support.snapshot import contents, write_cache
from tools import tiny
from tools.process import Server, eventually

CONVERT = "run: make export MODEL_ID=tests/small"
ELSEWHERE = "name a model with one of these, or with PyTorch weights"


@pytest.fixture
def without_torch(tmp_path: Path) -> dict[str, str]:
    """Variables for a process in which PyTorch cannot be imported."""
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    for name in ("torch", "transformers", "optimum", "sentence_transformers", "huggingface_hub"):
        (blocked / f"{name}.py").write_text("raise ImportError('not in the image')")
    return {"PYTHONPATH": str(blocked)}


def partial(folder: Path) -> list[str]:
    """Return the contents of a folder of prepared models, without locks."""
    return [path.name for path in folder.glob("*/*") if not path.name.endswith(".lock")]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["", "hub"])
def test_a_model_of_the_hub_s_cache_is_served(
    folder: Path, tmp_path: Path, without_torch: dict[str, str], layout: str
) -> None:
    data = tmp_path / "data"
    write_cache(data / layout, folder)
    before = contents(data)
    server = Server(
        "--model-id", MODEL, "--cache-dir", str(tmp_path / "prepared"), *EXACT,
        environment={**without_torch, "HUGGINGFACE_HUB_CACHE": str(data)},
    )  # fmt: skip
    server.wait_ready()
    np.testing.assert_allclose(served(server), expected(), atol=1e-6)
    server.signal()
    output = server.output()
    assert server.process.returncode == 0, output
    assert contents(data) == before


def test_a_folder_is_served_from_a_temporary_one_that_is_gone_once_it_is_loaded(
    folder: Path, tmp_path: Path, without_torch: dict[str, str]
) -> None:
    (tmp_path / "tmp").mkdir()
    environment = {**without_torch, "TMPDIR": str(tmp_path / "tmp")}
    server = Server("--model-id", str(folder), *EXACT, environment=environment)
    server.wait_ready()
    np.testing.assert_allclose(served(server), expected(), atol=1e-6)
    assert list((tmp_path / "tmp").iterdir()) == []
    server.signal()
    assert "name a folder to keep it in with --cache-dir" in server.output()


def test_a_damaged_graph_is_one_line_and_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    graph = folder / "onnx/model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    server = Server("--model-id", str(folder), "--cache-dir", str(tmp_path / "prepared"))
    output = server.output()
    assert server.process.returncode == 1
    assert f"Error: {graph} cannot be read as ONNX: " in output.splitlines()[-1]
    assert "Traceback" not in output
    assert partial(tmp_path / "prepared") == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda graph: truncate(graph.with_name("model.onnx_data")), "is shorter than model.onnx"),
        (lambda graph: graph.with_name("model.onnx_data").unlink(), "is missing: fetch the model"),
        (lambda graph: relocate(graph, "../config.json"), "keeps weights in '../config.json'"),
        (lambda graph: relocate(graph, "weights.bin"), "keeps weights in 'weights.bin'"),
    ],
)
def test_weights_in_a_file_of_their_own_are_whole_and_beside_the_graph(
    folder: Path, tmp_path: Path, damage: Callable[[Path], None], fault: str
) -> None:
    graph = folder / "onnx/model.onnx"
    settings = settings_for(tmp_path, model_id=str(folder))
    save_apart(graph, "model.onnx_data")
    assert Manifest.read(prepare(settings)).certificates
    damage(graph)
    with pytest.raises(StartupError, match=re.escape(fault)) as refusal:
        prepare(settings)
    assert "\n" not in str(refusal.value)


def save_apart(graph: Path, name: str) -> None:
    """Move the weights of a graph to a file beside it."""
    model = onnx.load(graph)
    onnx.save_model(model, graph, save_as_external_data=True, location=name, size_threshold=0)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def relocate(graph: Path, name: str) -> None:
    """Make a graph look for its weights elsewhere."""
    model = onnx.load(graph, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = name
    graph.write_bytes(model.SerializeToString())


@contextmanager
def blocked(settings: Settings, folder: Path) -> Iterator[tuple[Server, int]]:
    """A server whose child waits for a lock that the test holds, and the child's number."""
    graph = graph_file(folder)
    assert graph is not None
    assert settings.cache_dir is not None
    place = settings.cache_dir / preparation.key(settings, folder, graph)
    place.mkdir(parents=True)
    with (place / f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        command = ("--model-id", str(folder), "--cache-dir", str(settings.cache_dir))
        server = Server(*command, *EXACT)
        assert server.process.stdout is not None
        for line in server.process.stdout:
            if "waiting for another export" in line:
                break
        number = server.process.pid
        [child] = Path(f"/proc/{number}/task/{number}/children").read_text().split()
        yield server, int(child)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_ends_the_preparation_too(
    folder: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    with blocked(settings_for(tmp_path, model_id=str(folder)), folder) as (server, child):
        server.signal(sent)
        output = server.output()
        assert server.process.returncode == 128 + sent
        assert "Traceback" not in output
        assert not Path(f"/proc/{child}").exists()


def test_a_preparation_that_is_killed_is_one_line(folder: Path, tmp_path: Path) -> None:
    with blocked(settings_for(tmp_path, model_id=str(folder)), folder) as (server, child):
        os.kill(child, signal.SIGKILL)
        output = server.output()
        assert server.process.returncode == 1
        assert "Error: preparing the model ended with exit code -9: waiting" in output


def test_a_preparation_does_not_outlive_a_server_that_is_killed(
    folder: Path, tmp_path: Path
) -> None:
    with blocked(settings_for(tmp_path, model_id=str(folder)), folder) as (server, child):
        server.signal(signal.SIGKILL)
        server.output()
        eventually(lambda: not Path(f"/proc/{child}/fd/0").exists())


def test_without_onnx_the_remedy_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "onnx.py").write_text("raise ModuleNotFoundError('no onnx here')")
    server = Server("--model-id", str(folder), environment={"PYTHONPATH": str(tmp_path)})
    output = server.output()
    assert server.process.returncode == 1
    assert "Error: no onnx here: to prepare a model from ONNX install the extra" in output
    assert "Traceback" not in output


def test_nowhere_names_the_places_and_the_remedy(tmp_path: Path) -> None:
    message = fault(settings_for(tmp_path, revision="v2"), {"HF_HOME": "/home/hf"})
    data = tmp_path / "data"
    assert message == (
        f"{MODEL} is not exported: neither it nor {tmp_path}/models/tests--small@v2 holds a "
        f"manifest.json, and no Hub cache holds it (looked in {data}/hub, {data}, /home/hf/hub, "
        f"{tmp_path}/prepared/hub); HF_HUB_OFFLINE keeps it from being downloaded: unset it, or "
        "run: make export MODEL_ID=tests/small REVISION=v2"
    )


@pytest.mark.parametrize(
    ("files", "held"),
    [
        (["model.safetensors"], f"only PyTorch weights; {CONVERT}"),
        (["pytorch_model-00001-of-00002.bin"], f"only PyTorch weights; {CONVERT}"),
        (
            ["onnx/model_quantized.onnx", "pytorch_model.bin"],
            f"only onnx/model_quantized.onnx: {BY_NAME}, or {CONVERT}",
        ),
        (
            ["onnx/model_q4.onnx", "a.bin"],
            f"only onnx/model_q4.onnx, which are not served: {ELSEWHERE}",
        ),
        # Models that cannot be converted do not get the command that converts.
        (
            ["onnx/model_quantized.onnx", "model_O4.onnx"],
            f"only model_O4.onnx, onnx/model_quantized.onnx: {BY_NAME}",
        ),
        ([], f"no weights either: {ELSEWHERE}"),
    ],
)
def test_a_snapshot_without_the_graph_says_what_it_holds_and_what_helps(
    folder: Path, tmp_path: Path, files: list[str], held: str
) -> None:
    (folder / "onnx/model.onnx").unlink()
    for name in files:
        (folder / name).write_bytes(b"weights")
    snapshot = write_cache(tmp_path / "data", folder)
    expected = f"{snapshot} holds no model.onnx and no onnx/model.onnx, {held}"
    assert fault(settings_for(tmp_path)) == expected


def test_a_model_is_found_by_its_name_alone_and_by_its_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny.build(tmp_path / "models/tests--small")
    caplog.set_level(logging.INFO, "app.download.finding")
    for name in ("small", "https://huggingface.co/tests/small", "tests/small:latest"):
        with preparation.prepared(settings_for(tmp_path, model_id=name), OFFLINE) as (meant, _):
            assert (meant.model_id, meant.model_name) == (MODEL, MODEL)
    assert caplog.messages[0] == "by small tests/small is meant"


def test_a_near_miss_is_suggested(folder: Path, tmp_path: Path) -> None:
    write_cache(tmp_path / "data", folder)
    message = fault(settings_for(tmp_path, model_id="test/small"))
    assert message.endswith("make export MODEL_ID=test/small; did you mean tests/small?")


def test_an_invalid_name_is_one_line(tmp_path: Path) -> None:
    message = fault(settings_for(tmp_path, model_id=f"{tmp_path}/nope"))
    assert message == (f"--model-id: {tmp_path}/nope is not a folder: give one that holds a model")


def test_a_prompt_that_a_snapshot_lacks_is_said_before_it_is_prepared(
    folder: Path, tmp_path: Path
) -> None:
    message = fault(settings_for(tmp_path, model_id=str(folder), default_prompt_name="nope"))
    assert "`default-prompt-name` is set to `nope`" in message
    assert not (tmp_path / "prepared").exists() or not partial(tmp_path / "prepared")
