"""Failures of a download, and the message of each."""

import logging
import resource
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.downloading import GRAPH, MODEL, NEEDED, cached, fault, prepare, settings_for
from tests.support.hub import COMMIT, Hub
from tests.support.snapshot import write_cache, write_folder
from tools.process import Server


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False], ids=["--cache-dir", "temporary"])
def test_a_cache_that_cannot_be_written_is_replaced_with_a_warning(
    environment: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, named: bool
) -> None:
    (tmp_path / "data").touch()
    place = tmp_path / "prepared" if named else None
    assert prepare(settings_for(tmp_path, cache_dir=place), environment).pooling == "mean"
    [warning] = [text for text in caplog.messages if "cannot be written" in text]
    assert warning.startswith(f"{tmp_path / 'data'} cannot be written: downloading to ")
    if named:
        assert cached(tmp_path / "prepared" / "hub") == sorted([*NEEDED, GRAPH])
        prepare(settings_for(tmp_path), {**environment, "HF_HUB_OFFLINE": "1"})
    else:
        assert not Path(warning.rpartition(" ")[2]).exists()


@pytest.mark.slow
def test_a_connection_that_breaks_off_is_taken_up_where_it_was(
    environment: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    data = "onnx/model.onnx_data"
    (hub.repositories[MODEL] / data).write_bytes(bytes(25_000_000))
    hub.cuts = {data: [15_000_000, 4_000_000], GRAPH: [10]}
    prepare(settings_for(tmp_path), environment)
    assert [one.range for one in hub.sent(data)] == [None, "bytes=10485760-", "bytes=10485760-"]
    assert (tmp_path / "data/models--org--small/snapshots" / COMMIT / data).stat().st_size == 25e6


def test_a_download_that_fails_halfway_is_no_model_and_goes_on_at_the_next_start(
    environment: dict[str, str], hub: Hub, tmp_path: Path
) -> None:
    data = "onnx/model.onnx_data"
    (hub.repositories[MODEL] / data).write_bytes(bytes(12_000_000))
    hub.cuts = {data: [11_000_000, *[0] * 4]}
    message = fault(settings_for(tmp_path), environment)
    assert message.startswith(f"{MODEL} cannot be fetched: ")
    assert cached(tmp_path / "data") == NEEDED
    assert "unset it, or run: make export" in fault(
        settings_for(tmp_path), {**environment, "HF_HUB_OFFLINE": "1"}
    )
    hub.requests.clear()
    prepare(settings_for(tmp_path), environment)
    assert [one.range for one in hub.sent(data)] == ["bytes=10485760-"]


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_download_too(
    environment: dict[str, str], hub: Hub, tmp_path: Path, sent: signal.Signals
) -> None:
    hub.held = GRAPH
    places = ["--huggingface-hub-cache", str(tmp_path / "data")]
    server = Server("--model-id", MODEL, *places, environment=environment)
    assert hub.holding.wait(60)
    number = server.process.pid
    [child] = Path(f"/proc/{number}/task/{number}/children").read_text().split()
    server.signal(sent)
    output = server.output()
    assert server.process.returncode == 128 + sent, output
    assert "Traceback" not in output
    assert not Path(f"/proc/{child}").exists()
    assert cached(tmp_path / "data") == NEEDED
    hub.held = None
    prepare(settings_for(tmp_path), environment)


@pytest.mark.parametrize(
    ("model", "changes", "message"),
    [
        ("org/unknown", {}, "org/unknown is neither a folder nor a model on the Hub; if it is private"),
        ("org/gated", {}, "org/gated is gated: accept its conditions on its page, then set HF_TOKEN"),
        ("org/forbidden", {}, "the Hub refuses the token, or wants one (403): set HF_TOKEN"),
        ("org/expired", {"hf_token": "old"}, "the Hub refuses the token, or wants one (401)"),
        ("org/broken", {}, "org/broken cannot be fetched: 500 Server Error"),
        ("org/portal", {}, "org/portal cannot be fetched: Expecting value"),
        (MODEL, {"revision": "v9"}, f"{MODEL} has no revision 'v9'"),
        (
            "org/torch",
            {},
            "org/torch holds no model.onnx and no onnx/model.onnx, only PyTorch weights; "
            "run: make export MODEL_ID=org/torch",
        ),
        ("org/a--b", {}, "'org/a--b' is neither a folder nor an id of the form organization/name"),
    ],
)  # fmt: skip
def test_refusals(
    environment: dict[str, str], tmp_path: Path, model: str, changes: dict[str, str], message: str
) -> None:
    assert message in fault(settings_for(tmp_path, model_id=model, **changes), environment)
    assert not any(path.is_file() for path in (tmp_path / "data").rglob("*"))


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("/models/small", "/models/small is not a folder: "),
        ("./small", "./small is not a folder: "),
        ("a/b/c", "a/b/c is not a folder: "),
        ("C:\\small", "C:\\small is neither a folder nor an id of the form organization/name"),
        ("--x", "--x is not exported: "),
    ],
)
def test_invalid_ids_are_not_requested(
    environment: dict[str, str], hub: Hub, tmp_path: Path, model: str, words: str
) -> None:
    assert words in fault(settings_for(tmp_path, model_id=model), environment)
    assert hub.requests == []


def test_no_network_is_one_line_that_names_the_hub(tmp_path: Path) -> None:
    server = Server(
        "--model-id", MODEL, "--huggingface-hub-cache", str(tmp_path / "data"),
        environment={"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"},
    )  # fmt: skip
    output = server.output()
    assert server.process.returncode == 1
    assert output.splitlines()[-1].endswith(
        f"Error: {MODEL} is not in the local cache ({tmp_path / 'data'}) and http://127.0.0.1:9 "
        "cannot be reached: check the network or HF_ENDPOINT, or give a folder that holds the model"
    )
    assert "Traceback" not in output


def test_without_network_the_snapshot_that_is_there_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_folder(tmp_path / "small")
    shutil.rmtree(folder / "onnx")
    snapshot = write_cache(tmp_path / "data", folder)
    settings = settings_for(tmp_path, model_id="tests/small")
    environment = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0"}
    caplog.set_level(logging.WARNING)
    assert fault(settings, environment).startswith(f"{snapshot} holds no model.onnx")
    assert any("http://127.0.0.1:9 cannot be reached" in text for text in caplog.messages)


def test_a_full_disk_names_the_option(
    environment: dict[str, str], tmp_path: Path, hub: Hub
) -> None:
    (hub.repositories[MODEL] / "onnx/model.onnx_data").write_bytes(bytes(5_000_000))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, before[1]))
    try:
        message = fault(settings_for(tmp_path), environment)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert message.startswith("no space left to write")
    assert message.endswith("free some, or name another place by --huggingface-hub-cache")


def test_without_huggingface_hub_the_remedy_is_named(
    environment: dict[str, str], tmp_path: Path
) -> None:
    blocked = tmp_path / "blocked"
    blocked.mkdir()
    (blocked / "huggingface_hub.py").write_text("raise ModuleNotFoundError('no hub here')")
    message = fault(settings_for(tmp_path), {**environment, "PYTHONPATH": str(blocked)})
    assert message == (
        f"no hub here: to download {MODEL} at start install the extra `hub`, or export it first"
    )
