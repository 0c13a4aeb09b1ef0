"""The pooling of a model and its source: the option, the files, or its authors."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.model.names import PoolingChoice
from export.checkpoint.pooling_source import Decision, decide
from export.config.sentence_modules import SentenceModules

SILENT = SentenceModules.silent()
TOLD = replace(SILENT, poolings=("mean",), pooling_file="1_Pooling/config.json")


@pytest.mark.parametrize(
    ("choice", "modules", "model_id", "decision"),
    [
        ("cls", TOLD, "BAAI/bge-m3", Decision("cls", "--pooling")),
        (None, TOLD, "BAAI/bge-m3", Decision(None, "1_Pooling/config.json")),
        (None, SILENT, "BAAI/bge-m3", Decision("cls", "published with BAAI/bge-m3")),
        (None, SILENT, "Xenova/bge-m3", Decision("cls", "published with BAAI/bge-m3")),
    ],
)
def test_options_precede_files_and_files_precede_authors(
    tmp_path: Path,
    choice: PoolingChoice | None,
    modules: SentenceModules,
    model_id: str,
    decision: Decision,
) -> None:
    assert decide(choice, modules, model_id, "BertModel", tmp_path) == decision


@pytest.mark.parametrize(
    ("architecture", "splade"), [("BertModel", False), ("BertForMaskedLM", True)]
)
def test_without_any_source_the_choices_are_named(
    tmp_path: Path, architecture: str, splade: bool
) -> None:
    found = decide(None, SILENT, "org/unknown", architecture, tmp_path)
    assert (found.choice, found.source) == (None, None)
    assert found.doubt is not None
    assert ("--pooling splade" in found.doubt) == splade


def test_a_generator_is_pooled_as_asked_and_in_doubt(tmp_path: Path) -> None:
    found = decide("last_token", SILENT, "org/unknown", "Qwen3ForCausalLM", tmp_path)
    assert (found.choice, found.source) == ("last_token", "--pooling")
    assert found.doubt is not None
    assert found.doubt.startswith("Qwen3ForCausalLM predicts the next token")
