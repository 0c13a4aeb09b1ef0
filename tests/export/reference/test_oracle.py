"""The reference of a proof: the proof refuses whatever was read wrongly from a checkpoint."""

import asyncio
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from app.api.http.info import info
from app.application import build, create_app
from app.model.manifest import Manifest
from app.options.settings import Settings
from export import pipeline
from export.checkpoint import read as checkpoints
from export.checkpoint.read import Checkpoint
from export.cli import Request
from export.config.layers import Head
from export.errors import ExportError
from tests.support.tiny_checkpoints import write_headed, write_json
from tools.asgi import post

TEXTS = ("rain", "music in the old city of paris " * 4, "a python song", " water at sea ")
# transformers' class for BERT would add a mask token to the tiny vocabulary.
PLAIN = {"tokenizer_class": "PreTrainedTokenizerFast"}
PROMPTS = {"query": "find music about: ", "document": ""}


def export(folder: Path, models: Path) -> Path:
    return pipeline.export(Request(str(folder), models_dir=models))


def edit(path: Path, **changes: Any) -> None:
    write_json(path, json.loads(path.read_text()) | changes if path.is_file() else changes)


@pytest.fixture
def checkpoint(bert: Path, tmp_path: Path) -> Path:
    """A copy of the tiny BERT, to be changed."""
    return shutil.copytree(bert, tmp_path / "tiny-bert")


def embed(folder: Path, body: dict[str, Any], **settings: Any) -> NDArray[np.float32]:
    """Return the served folder's answer."""
    options = Settings(model_id=str(folder), provider="cpu", dtype="float32", **settings)
    service = build(options, folder)
    app = create_app(service, options)
    try:
        reply = post(app, "/embed", {"inputs": list(TEXTS), **body})
    finally:
        asyncio.run(service.model.close())
    assert reply.status == 200, reply.text
    return np.array(reply.json, np.float32)


def told(folder: Path, **settings: Any) -> Any:
    options = Settings(model_id=str(folder), provider="cpu", dtype="float32", **settings)
    service = build(options, folder)
    asyncio.run(service.model.close())
    return info(service.model)


def library(folder: Path) -> Any:
    return SentenceTransformer(str(folder), device="cpu", local_files_only=True)


LIES: dict[str, tuple[Callable[[Checkpoint], Checkpoint], str]] = {
    "pooling": (
        lambda found: replace(found, head=Head(("cls",))),
        "does not match the original model",
    ),
    "a longer maximum": (lambda found: replace(found, max_input_length=48), "is tokenized as"),
    "a shorter maximum": (lambda found: replace(found, max_input_length=16), "is tokenized as"),
    "a prompt": (lambda found: replace(found, prompts={"query": "q:"}), "is tokenized as"),
    "no default prompt": (
        lambda found: replace(found, default_prompt_name=None),
        "is tokenized as",
    ),
    "the side that is cut": (
        lambda found: replace(found, truncation_side="right"),
        "is tokenized as",
    ),
}


@pytest.fixture(scope="module")
def rich(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with as many settings about its texts as possible."""
    folder = shutil.copytree(bert, tmp_path_factory.mktemp("rich") / "tiny-rich")
    edit(
        folder / "config_sentence_transformers.json",
        prompts=PROMPTS,
        default_prompt_name="query",
    )
    edit(folder / "tokenizer_config.json", truncation_side="left", **PLAIN)
    return folder


@pytest.fixture(scope="module")
def served(rich: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(rich, tmp_path_factory.mktemp("models"))


QUICK = {"pooling", "no default prompt", "the side that is cut"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "lie", [pytest.param(one, marks=[] if one in QUICK else pytest.mark.slow) for one in LIES]
)
def test_wrong_readings_are_refused(
    rich: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    wrong, message = LIES[lie]
    read = checkpoints.read
    monkeypatch.setattr(checkpoints, "read", lambda *given, **named: wrong(read(*given, **named)))
    with pytest.raises(ExportError, match=message):
        export(rich, tmp_path)
    assert not list(tmp_path.glob("[!.]*"))


@pytest.mark.slow
def test_the_default_prompt_is_reported(served: Path) -> None:
    card = (served / "README.md").read_text()
    assert "| before each text, unless a prompt is named | `find music about: ` |" in card
    assert "| proved against | sentence-transformers, loading the checkpoint |" in card
    assert told(served)["default_prompt_name"] == "query"
    assert told(served, default_prompt_name="document")["default_prompt_name"] == "document"
    assert told(served, default_prompt="")["default_prompt_name"] is None


@pytest.mark.slow
def test_the_default_prompt_goes_before_each_text(rich: Path, served: Path) -> None:
    original = library(rich)
    expected = original.encode(list(TEXTS), batch_size=1)
    plain = original.encode(list(TEXTS), prompt="", batch_size=1)
    assert np.abs(expected - plain).max() > 0.01
    np.testing.assert_allclose(embed(served, {}), expected, atol=1e-5)
    np.testing.assert_allclose(embed(served, {"prompt_name": "document"}), plain, atol=1e-5)
    np.testing.assert_allclose(embed(served, {}, default_prompt=""), plain, atol=1e-5)
    named = embed(served, {}, default_prompt_name="document")
    np.testing.assert_allclose(named, plain, atol=1e-5)


def test_a_text_is_cut_where_the_checkpoint_cuts_it(rich: Path, served: Path) -> None:
    model = library(rich)
    assert model.tokenizer.truncation_side == "left"
    left = model.encode(list(TEXTS), batch_size=1)
    model.tokenizer.truncation_side = "right"
    right = model.encode(list(TEXTS), batch_size=1)
    assert np.abs(left[1] - right[1]).max() > 0.01
    np.testing.assert_allclose(embed(served, {}), left, atol=1e-5)
    asked = embed(served, {"truncation_direction": "Right"})
    np.testing.assert_allclose(asked, right, atol=1e-5)


@pytest.mark.slow
def test_a_model_is_as_long_as_sentence_transformers_saved_it(
    checkpoint: Path, tmp_path: Path
) -> None:
    edit(checkpoint / "tokenizer_config.json", **PLAIN)
    model = library(checkpoint)
    model.max_seq_length = 24
    saved = tmp_path / "saved"
    model.save_pretrained(str(saved))
    assert "max_seq_length" not in json.loads((saved / "sentence_bert_config.json").read_text())
    folder = export(saved, tmp_path / "models")
    assert Manifest.read(folder).max_input_length == 24
    np.testing.assert_allclose(embed(folder, {}), library(saved).encode(list(TEXTS)), atol=1e-5)


@pytest.mark.slow
def test_a_certificate_says_whose_answers_the_reference_is(
    checkpoint: Path, tmp_path: Path
) -> None:
    def reference(folder: Path) -> str:
        return Manifest.read(export(folder, tmp_path / "models")).certificates[0].reference

    labels = {"id2label": {0: "dry", 1: "wet"}, "label2id": {"dry": 0, "wet": 1}}
    classifier = write_headed(tmp_path / "classifier", "BertForSequenceClassification", **labels)
    assert reference(checkpoint) == "sentence-transformers"
    assert reference(classifier) == "transformers"


def test_scores_that_the_pipeline_makes_otherwise_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = {"id2label": {0: "dry", 1: "wet"}, "label2id": {"dry": 0, "wet": 1}}
    several = {"problem_type": "multi_label_classification"} | labels
    folder = write_headed(tmp_path / "model", "BertForSequenceClassification", **several)
    read = checkpoints.read
    monkeypatch.setattr(
        checkpoints,
        "read",
        lambda *given, **named: replace(read(*given, **named), activation="softmax"),
    )
    with pytest.raises(ExportError, match="transformers' pipeline makes other scores"):
        export(folder, tmp_path / "models")


@pytest.mark.slow
def test_models_that_the_library_cannot_load_are_compared_with_our_own_reading(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Early configurations of a Pooling do not state its width."""
    write_json(checkpoint / "1_Pooling/config.json", {"pooling_mode_mean_tokens": True})
    with caplog.at_level("INFO", "export"):
        folder = export(checkpoint, tmp_path / "models")
    assert Manifest.read(folder).certificates[0].reference == "pytorch"
    [warning] = [one.message for one in caplog.records if one.levelname == "WARNING"]
    assert warning.startswith("sentence-transformers cannot run the model (")
