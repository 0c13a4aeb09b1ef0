"""Prompts: which texts go before inputs, and which are refused at start."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.errors import LONGEST_NAME, InvalidInput, StartupError
from app.inference.prompts import default_prompt, find_prompt, prompt_names, require_prompt
from app.inference.served_model import ServedModel
from app.model.manifest import Manifest
from app.options.settings import Settings
from app.telemetry.metrics import Metrics
from tools import tiny

PROMPTS = {"query": "query: ", "none": ""}


def test_a_prompt_is_found_by_its_name() -> None:
    assert find_prompt(PROMPTS, "query") == require_prompt(PROMPTS, "query") == "query: "


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ({}, "no prompts were found in the Sentence Transformers configuration"),
        (PROMPTS, 'Available prompts: ["query", "none"]'),
    ],
)
def test_one_that_there_is_not_is_named_with_those_that_there_are(
    prompts: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidInput) as asked:
        find_prompt(prompts, "nope")
    with pytest.raises(StartupError) as started:
        require_prompt(prompts, "nope")
    assert message in str(asked.value)
    assert "`default-prompt-name` is set to `nope`" in str(started.value)
    with pytest.raises(InvalidInput) as long:
        find_prompt(prompts, "n" * 1_000_000)
    assert f"`{'n' * LONGEST_NAME}…`" in str(long.value)


@pytest.mark.parametrize(
    ("changes", "own", "expected"),
    [
        ({}, None, None),
        ({}, "query", "query: "),
        ({}, "none", None),
        ({"default_prompt": "passage: "}, "query", "passage: "),
        ({"default_prompt": ""}, "query", None),
        ({"default_prompt_name": "query"}, None, "query: "),
        ({"default_prompt_name": "none"}, "query", ""),
    ],
)
def test_an_operator_s_prompt_goes_before_the_checkpoint_s(
    tmp_path: Path, changes: dict[str, Any], own: str | None, expected: str | None
) -> None:
    manifest = replace(tiny.build(tmp_path), prompts=PROMPTS, default_prompt_name=own)
    assert default_prompt(Settings(model_id="m", **changes), manifest) == expected


@pytest.mark.parametrize("option", ["default_prompt", "default_prompt_name"])
def test_a_reranker_takes_none(tmp_path: Path, option: str) -> None:
    manifest = tiny.build(tmp_path, "reranker")
    given: dict[str, Any] = {option: "query"}
    settings = Settings(model_id="m", **given)
    flag = f"--{option.replace('_', '-')} ({option.upper()})"
    with pytest.raises(StartupError) as caught:
        default_prompt(settings, manifest)
    assert str(caught.value).startswith(f"{flag}: m is a reranker")


def test_requests_may_ask_for_each_name_once(tmp_path: Path) -> None:
    manifest = replace(tiny.build(tmp_path), prompts=PROMPTS)
    assert prompt_names(manifest) == ("query", "none")


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

    def opened(settings: Settings) -> ServedModel:
        return ServedModel.open(tmp_path, settings, Metrics())

    option = "--default-prompt-name" if named else "--default-prompt"
    with pytest.raises(StartupError) as caught:
        opened(asked("fills", fills))
    assert str(caught.value) == (
        f"{option}: the prompt has {longest} tokens, and the model takes {longest}: none are left "
        "for inputs"
    )
    with pytest.raises(StartupError, match=f"^{option}: .*characters"):
        opened(asked("huge", "cat" * 1_000_000))
    for name, text in {"none": "", "fits": fits}.items():
        asyncio.run(opened(asked(name, text)).close(1))


def write_prompts(folder: Path, prompts: dict[str, str]) -> None:
    replace(Manifest.read(folder), prompts=prompts).write(folder)
