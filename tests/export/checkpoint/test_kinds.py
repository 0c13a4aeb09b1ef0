"""Kinds: classifiers, rerankers and SPLADE models, exported, served, and equal to transformers."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder

from app.application import build, create_app
from app.model.manifest import Manifest
from app.model.names import Task
from app.options.settings import Settings
from export import pipeline
from export.checkpoint import read
from export.checkpoint import read as checkpoints
from export.cli import Request
from export.errors import ExportError
from export.from_onnx.preparation import Preparation
from export.from_torch import convert
from tests.support.configs import CLASSIFIER, Write
from tests.support.tiny_checkpoints import write_headed, write_json
from tools.asgi import post

TEXTS = ["water", "music in the city on a monday", "x" * 90, "a python song"]
PAIRS = [("water", text) for text in TEXTS]
Load = Callable[[Path, str], Callable[..., NDArray[np.float32]]]


@pytest.fixture(scope="module")
def load() -> Load:
    """Load transformers' own model as a function from texts to logits."""
    import transformers

    library: Any = transformers

    def load(folder: Path, name: str) -> Callable[..., NDArray[np.float32]]:
        tokenizer = library.AutoTokenizer.from_pretrained(folder)
        model = getattr(library, name).from_pretrained(folder).eval()

        def run(*texts: str) -> NDArray[np.float32]:
            inputs = tokenizer(*texts, truncation=True, max_length=32, return_tensors="pt")
            with torch.inference_mode():
                found: NDArray[np.float32] = model(**inputs).logits[0].numpy()
            return found

        return run

    return load


def ask(folder: Path, path: str, body: Any) -> Any:
    """Return an exported folder's answer when it is served."""
    settings = Settings(model_id=str(folder), provider="cpu", dtype="float32")
    service = build(settings, folder)
    reply = post(create_app(service, settings), path, body)
    asyncio.run(service.model.close())
    assert reply.status == 200, reply.text
    return reply.json


def from_checkpoint(checkpoint: Path, **options: Any) -> Path:
    return pipeline.export(Request(str(checkpoint), models_dir=checkpoint / "models", **options))


def test_a_masked_language_model_must_be_told_how_to_pool(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"to say how to pool: .*--pooling splade"):
        from_checkpoint(write_headed(tmp_path / "s", "BertForMaskedLM"))


@pytest.fixture(params=["checkpoint", "onnx"])
def export(request: pytest.FixtureRequest) -> Callable[..., Path]:
    """Export a checkpoint from its weights, or from the ONNX graph beside them."""

    def from_graph(checkpoint: Path, task: Task, pooling: Any = None) -> Path:
        convert.convert(checkpoint, checkpoint / "onnx", task)
        asked = Preparation(checkpoint, checkpoint / "models", "m", "m", pooling)
        return pipeline.prepare(asked)

    def from_weights(checkpoint: Path, task: Task, **options: Any) -> Path:
        del task
        return from_checkpoint(checkpoint, **options)

    return from_graph if request.param == "onnx" else from_weights


Export = Callable[..., Path]


def test_a_classifier(tmp_path: Path, load: Load, export: Export) -> None:
    labels = {0: "sad", 1: "glad", 2: "neither"}
    checkpoint = write_headed(tmp_path / "c", "BertForSequenceClassification", id2label=labels)
    folder = export(checkpoint, "classifier")
    manifest = Manifest.read(folder)
    assert (manifest.task, manifest.labels) == ("classifier", tuple(labels.values()))
    assert manifest.certificates[0].largest_error <= 1e-4
    original = load(checkpoint, "AutoModelForSequenceClassification")
    inputs = [[text] for text in TEXTS] + [list(pair) for pair in PAIRS]
    answers = ask(folder, "/predict", {"inputs": inputs, "raw_scores": True})
    for texts, answer in zip(inputs, answers, strict=True):
        scores = {item["label"]: item["score"] for item in answer}
        expected = original(*texts)
        np.testing.assert_allclose([scores[name] for name in labels.values()], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["safetensors", "pickle"])
@pytest.mark.parametrize(("rows", "task"), [(1, "reranker"), (3, "classifier")])
def test_unnamed_labels_are_counted_by_the_weights(
    tmp_path: Path, kind: str, rows: int, task: Task
) -> None:
    folder = unnamed(write_headed(tmp_path / "c", "BertForSequenceClassification", num_labels=rows))
    if kind == "pickle":
        weights = folder / "model.safetensors"
        torch.save(load_file(weights), folder / "pytorch_model.bin")
        weights.unlink()
    found = checkpoints.read(folder)
    assert (found.task, found.labels) == (task, tuple(f"LABEL_{row}" for row in range(rows)))


@pytest.mark.slow
def test_a_cross_encoder_without_labels_scores_as_the_library_does(tmp_path: Path) -> None:
    folder = unnamed(write_headed(tmp_path / "c", "BertForSequenceClassification", num_labels=1))
    exported = from_checkpoint(folder)
    manifest = Manifest.read(exported)
    assert (manifest.task, manifest.labels) == ("reranker", ("LABEL_0",))
    assert manifest.certificates[0].reference == "sentence-transformers"
    with pytest.raises(RuntimeError, match="size mismatch"):  # the library relies on two
        CrossEncoder(str(folder), device="cpu", local_files_only=True)
    library = CrossEncoder(str(folder), num_labels=1, device="cpu", local_files_only=True)
    query, texts = PAIRS[0][0], [text for _, text in PAIRS]
    answers = ask(exported, "/rerank", {"query": query, "texts": texts})
    scores = {answer["index"]: answer["score"] for answer in answers}
    expected = library.predict([(query, text) for text in texts])
    np.testing.assert_allclose([scores[i] for i in range(len(texts))], expected, atol=1e-5)


def unnamed(folder: Path) -> Path:
    """The checkpoint without the names of its labels, as older ones have it."""
    config = json.loads((folder / "config.json").read_text())
    kept = {key: value for key, value in config.items() if key not in {"id2label", "label2id"}}
    write_json(folder / "config.json", kept)
    return folder


@pytest.mark.slow
def test_a_classifier_of_several_labels_at_once_scores_each_by_itself(tmp_path: Path) -> None:
    import transformers

    labels = {0: "sad", 1: "glad", 2: "tired"}
    checkpoint = write_headed(
        tmp_path / "m",
        "BertForSequenceClassification",
        id2label=labels,
        problem_type="multi_label_classification",
    )
    folder = from_checkpoint(checkpoint)
    assert Manifest.read(folder).activation == "sigmoid"
    library: Any = transformers
    classify = library.pipeline(
        "text-classification", str(checkpoint), top_k=None, truncation=True, max_length=32
    )
    answers = ask(folder, "/predict", {"inputs": [[text] for text in TEXTS]})
    for answer, expected in zip(answers, classify(TEXTS), strict=True):
        assert [one["label"] for one in answer] == [one["label"] for one in expected]
        found, wanted = ([one["score"] for one in scores] for scores in (answer, expected))
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_reranker(tmp_path: Path, load: Load, export: Export) -> None:
    checkpoint = write_headed(
        tmp_path / "r", "BertForSequenceClassification", id2label={0: "LABEL_0"}
    )
    folder = export(checkpoint, "reranker")
    assert Manifest.read(folder).task == "reranker"
    original = load(checkpoint, "AutoModelForSequenceClassification")
    body = {"query": "water", "texts": TEXTS, "raw_scores": True}
    answer = ask(folder, "/rerank", body)
    scores = [original("water", text)[0] for text in TEXTS]
    assert [item["index"] for item in answer] == list(np.argsort(scores)[::-1])
    np.testing.assert_allclose([item["score"] for item in answer], np.sort(scores)[::-1], atol=1e-4)


@pytest.mark.slow
def test_a_splade_model(tmp_path: Path, load: Load, export: Export) -> None:
    checkpoint = write_headed(tmp_path / "s", "BertForMaskedLM")
    folder = export(checkpoint, "splade", pooling="splade")
    manifest = Manifest.read(folder)
    assert (manifest.task, manifest.pooling) == ("splade", None)
    original = load(checkpoint, "AutoModelForMaskedLM")
    answers = ask(folder, "/embed_sparse", {"inputs": TEXTS})
    for text, answer in zip(TEXTS, answers, strict=True):
        vector = np.zeros(manifest.dimensions, np.float32)
        for entry in answer:
            vector[entry["index"]] = entry["value"]
        expected = np.log1p(np.maximum(original(text), 0)).max(axis=0)
        np.testing.assert_allclose(vector, expected, atol=1e-4)


@pytest.mark.parametrize(
    ("labels", "task", "expected"),
    [
        ({"id2label": {"1": "glad", "0": "sad"}}, "classifier", ("sad", "glad")),
        ({"label2id": {"glad": 1, "sad": 0}}, "classifier", ("sad", "glad")),
        ({"id2label": {"0": "sad", "2": "glad"}}, "classifier", ("sad", "LABEL_1")),
        ({"id2label": {"0": "LABEL_0"}}, "reranker", ("LABEL_0",)),
        ({}, "classifier", ("LABEL_0", "LABEL_1")),  # as transformers counts
        ({"num_labels": 1}, "reranker", ("LABEL_0",)),
    ],
)
def test_labels_make_a_classifier_or_a_reranker(
    write: Write, labels: dict[str, Any], task: str, expected: tuple[str, ...]
) -> None:
    found = read.read(write(CLASSIFIER | labels))
    assert (found.task, found.labels, found.dimensions) == (task, expected, len(expected))
    assert (found.pooling, found.normalize) == (None, False)


@pytest.mark.parametrize(
    ("labels", "problem", "expected"),
    [
        (1, None, "sigmoid"),
        (2, None, "softmax"),
        (2, "single_label_classification", "softmax"),
        (1, "single_label_classification", "sigmoid"),
        (3, "multi_label_classification", "sigmoid"),
        (1, "multi_label_classification", "sigmoid"),
        (1, "regression", "none"),
        (3, "regression", "none"),
    ],
)
def test_the_problem_says_what_makes_scores_of_logits(
    write: Write, labels: int, problem: str | None, expected: str
) -> None:
    names = {str(place): f"label {place}" for place in range(labels)}
    # transformers' pipeline never reads `function_to_apply`.
    config = {"id2label": names, "problem_type": problem, "function_to_apply": "tanh"}
    assert read.read(write(CLASSIFIER | config)).activation == expected


def test_the_architecture_that_classifies_counts_wherever_it_stands(write: Write) -> None:
    names = ["BertModel", "BertForSequenceClassification"]
    found = read.read(write({"architectures": names, "id2label": {"0": "a"}}))
    assert (found.architecture, found.task) == (names[1], "reranker")


def test_a_pooling_for_a_classifier_is_ignored_with_a_warning(write: Write) -> None:
    found = read.read(write(CLASSIFIER | {"id2label": {"0": "a"}}), "cls")
    assert found.pooling is None
    assert found.warnings == (
        "--pooling is ignored: the model is a reranker, which does not pool by it",
    )
