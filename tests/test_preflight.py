"""What is refused in the first second, and never after a load."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import application, preflight
from app.errors import StartupError
from app.inference.pooling import output_for, require_pooling
from app.model.manifest import Manifest
from app.model.names import Task
from app.settings import Settings
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
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for anyone who is not root
    with pytest.raises(StartupError, match=f"see that --cache-dir {tmp_path}/new can be written"):
        preflight.require_writable(tmp_path / "new")


def test_a_precision_that_cannot_be_had_is_said_first() -> None:
    message = fault(dtype="float16", provider="cpu")
    assert message.startswith("--dtype float16: it is for GPUs")
    assert message.endswith("use --dtype float32")


def write_manifest_alone(folder: Path, task: Task = "embedding") -> None:
    """A model of which nothing can be read but what it declares."""
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
def test_what_the_model_cannot_do_is_said_before_its_files_are_read(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    for name in ("tests--tiny", "tests--tiny@v2"):
        write_manifest_alone(tmp_path / name)
    settings = Settings(model_id="tests/tiny", models_dir=tmp_path, **changes)
    with pytest.raises(StartupError) as caught:
        application.build(settings, tmp_path / "tests--tiny")
    assert message in str(caught.value)


@pytest.mark.parametrize("auto_truncate", [True, False])
@pytest.mark.parametrize("named", [False, True])
def test_a_prompt_that_leaves_no_room_for_inputs_is_refused(
    tmp_path: Path, named: bool, auto_truncate: bool
) -> None:
    longest = tiny.build(tmp_path).max_input_length
    fits, fills = ("cat " * (longest - specials) for specials in (3, 2))
    write_prompts(tmp_path, {"none": "", "fits": fits, "fills": fills, "huge": "cat" * 1_000_000})

    def asked(name: str, text: str) -> Settings:
        given: dict[str, Any] = {"default_prompt_name": name} if named else {"default_prompt": text}
        return Settings(
            model_id=str(tmp_path),
            provider="cpu",
            dtype="float32",
            auto_truncate=auto_truncate,
            **given,
        )

    option = "--default-prompt-name" if named else "--default-prompt"
    with pytest.raises(StartupError) as caught:
        application.build(asked("fills", fills), tmp_path)
    assert str(caught.value) == (
        f"{option}: the prompt has {longest} tokens, and the model takes {longest}: none are left "
        "for inputs"
    )
    with pytest.raises(StartupError, match=f"^{option}: .*characters"):
        application.build(asked("huge", "cat" * 1_000_000), tmp_path)
    for name, text in {"none": "", "fits": fits}.items():
        service = application.build(asked(name, text), tmp_path)
        asyncio.run(service.model.close(1))


def write_prompts(folder: Path, prompts: dict[str, str]) -> None:
    replace(Manifest.read(folder), prompts=prompts).write(folder)


def test_a_splade_model_is_not_pooled_otherwise(tmp_path: Path) -> None:
    write_manifest_alone(tmp_path, "splade")
    settings = Settings(model_id=str(tmp_path), pooling="mean")
    manifest = Manifest.read(tmp_path)
    command = f"make export MODEL_ID={manifest.source.id} POOLING=mean"
    with pytest.raises(StartupError) as caught:
        application.build(settings, tmp_path)
    assert str(caught.value) == (
        "--pooling mean: the model was exported with splade pooling; leave the option out, or "
        f"run: {command}"
    )


def test_splade_is_accepted_on_a_splade_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = tiny.build(tmp_path, "splade")
    require_pooling(Settings(model_id=str(tmp_path), pooling="splade"), manifest)
    assert output_for(manifest, "splade") == "sparse_embedding"
    reranker = replace(manifest, task="reranker", pooling=None)
    require_pooling(Settings(model_id="m", pooling="splade"), reranker)  # as in TEI
    assert not caplog.messages
