"""The settings of a whole model in config_sentence_transformers.json."""

import json
from pathlib import Path
from typing import Any

import pytest

from export.config import sentence_settings
from export.errors import ExportError


def write(folder: Path, **content: Any) -> Path:
    (folder / "config_sentence_transformers.json").write_text(json.dumps(content))
    return folder


def test_a_checkpoint_without_the_file_has_no_prompts_and_is_compared_by_cosines(
    tmp_path: Path,
) -> None:
    found = sentence_settings.read(tmp_path)
    assert (found.prompts, found.default_prompt_name, found.similarity) == ({}, None, "cosine")
    assert (found.truncate_dim, found.prefixes, found.document_length) == (None, {}, None)


def test_settings_are_read(tmp_path: Path) -> None:
    write(
        tmp_path,
        prompts={"query": "q: ", "passage": None},
        default_prompt_name="query",
        similarity_fn_name="dot",
        truncate_dim=64,
        query_prefix="[Q] ",
        document_prefix="",
        document_length=180,
        max_active_dims=32,
    )
    found = sentence_settings.read(tmp_path)
    assert (found.prompts, found.default_prompt_name) == ({"query": "q: "}, "query")
    assert (found.similarity, found.truncate_dim, found.max_active_dims) == ("dot", 64, 32)
    assert (found.prefixes, found.document_length) == ({"query": "[Q] "}, 180)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"prompts": {"query": 1}}, "prompts: every prompt must be a string"),
        ({"default_prompt_name": "query"}, "'query' is not one of the prompts"),
        ({"truncate_dim": 0}, "truncate_dim: 0 is not a positive number"),
        ({"similarity_fn_name": "taxicab"}, "similarity_fn_name: 'taxicab' is not supported"),
    ],
)
def test_invalid_settings_are_named(tmp_path: Path, content: dict[str, Any], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        sentence_settings.read(write(tmp_path, **content))
