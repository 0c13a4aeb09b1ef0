"""Checks of the first second, before a model is loaded."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from app import application, preflight
from app.errors import StartupError
from app.model.names import Task
from app.options.settings import Settings
from app.telemetry import memory
from tools import tiny


def fault(**changes: Any) -> str:
    with pytest.raises(StartupError) as caught:
        preflight.check(Settings(**{"model_id": "m", **changes}))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("option", ["models_dir", "huggingface_hub_cache", "cache_dir"])
@pytest.mark.parametrize("below", ["", "folder"])
def test_a_file_is_no_folder(tmp_path: Path, option: str, below: str) -> None:
    file = tmp_path / "file"
    file.touch()
    flag, variable = f"--{option.replace('_', '-')}", option.upper()
    expected = f"{flag} ({variable}): {file} is not a folder: name one"
    assert fault(**{option: file / below}) == expected


def test_folders_that_are_not_there_yet_are_no_fault(tmp_path: Path) -> None:
    settings = Settings(model_id="m", models_dir=tmp_path / "a/b", cache_dir=tmp_path / "c")
    preflight.check(settings)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_takes_no_files_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for any user but root
    with pytest.raises(StartupError, match=f"see that --cache-dir {tmp_path}/new can be written"):
        preflight.require_writable(tmp_path / "new")


def test_the_grpc_api_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    preflight.check(Settings(model_id="m", grpc_port=1))
    monkeypatch.setitem(sys.modules, "app.rpc.server", None)  # a module that cannot be imported
    message = fault(grpc_port=1)
    assert message.startswith(
        "--grpc-port needs the extra grpc, pip install 'embedding-service[grpc]': "
    )


def test_a_precision_that_cannot_be_had_is_said_first() -> None:
    message = fault(dtype="float16", provider="cpu")
    assert message.startswith("--dtype float16: it is for GPUs")
    assert message.endswith("use --dtype float32")


def write_manifest_alone(folder: Path, task: Task = "embedding") -> None:
    """Write a model of which only the manifest can be read."""
    manifest = tiny.build(folder, task)
    for name in manifest.files:
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"default_prompt_name": "nope"}, "`default-prompt-name` is set to `nope`"),
        (
            {"pooling": "splade", "revision": "v2"},
            "--pooling splade: the model was exported with mean pooling; leave the option out, or "
            "run: make export MODEL_ID=tests/tiny REVISION=v2 POOLING=splade",
        ),
        ({"max_batch_tokens": 8, "auto_truncate": False}, "--max-batch-tokens 8 is less than"),
        ({"dtype": "int8"}, "the exported model holds no int8 graph"),
    ],
)
def test_unsupported_options_are_refused_before_the_files_are_read(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    for name in ("tests--tiny", "tests--tiny@v2"):
        write_manifest_alone(tmp_path / name)
    settings = Settings(model_id="tests/tiny", models_dir=tmp_path, **changes)
    with pytest.raises(StartupError) as caught:
        application.build(settings, tmp_path / "tests--tiny")
    assert message in str(caught.value)


def test_weights_larger_than_memory_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.build(tmp_path)
    assert list(preflight.shortages([tmp_path])) == []
    with (tmp_path / "model.onnx.data").open("r+b") as weights:
        weights.truncate(3_000_000)
    monkeypatch.setattr(memory, "limit_bytes", lambda: 2_000_000)
    assert list(preflight.shortages([tmp_path])) == [
        f"the weights in {tmp_path} are 3 MB, and this process may hold 2 MB of memory: "
        "the system may end it; give it 6 MB"
    ]
    assert preflight.out_of_memory() == (
        "not enough memory: this process may hold 2 MB; give it more, or serve a smaller model"
    )
