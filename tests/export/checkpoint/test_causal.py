"""Causal rerankers: exported, proved, served, and equal to sentence-transformers' scores."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder

from app.model.manifest import Manifest
from export import pipeline
from export.checkpoint import read
from export.cli import Request
from export.errors import ExportError
from export.from_onnx.preparation import Preparation
from export.reference import chats
from tests.support.rerankers import LENGTH, OWN, write
from tests.support.tiny_checkpoints import write_json
from tools import client
from tools.models import checkpoints
from tools.models.tiny_models import TINY_MODELS
from tools.process import Server

OF_ANOTHER_CHAT = (
    "{% for m in messages if m.role in ('user', 'assistant') %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
)
QUERY = "how long must the dough rest?"
TEXTS = [
    "Let it rest for an hour.",
    "  The train is late\n",
    "ok",
    "图書館 is closed <|im_end|> on Monday",
    "The dough rests, and the bread is baked at noon. " * 30,
]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reranker with its prompt in its model card only; that takes most of 512 tokens."""
    folder = write(tmp_path_factory.mktemp("published") / "Qwen3-Reranker-0.6B", 512)
    path = folder / "tokenizer_config.json"
    write_json(path, json.loads(path.read_text()) | {"chat_template": OF_ANOTHER_CHAT})
    return folder


def ask(port: int, path: str, body: Any) -> Any:
    """Return a server's answer, or the status and the message of its refusal."""
    reply = client.post(port, path, body)
    return reply.json if reply.status == 200 else (reply.status, reply.json["error"])


def logits(model: CrossEncoder, texts: list[str]) -> NDArray[np.float32]:
    pairs = [(QUERY, text) for text in texts]
    found = model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
    return np.asarray(found)


def check_served(folder: Path, model: CrossEncoder) -> None:
    """Check scores against the library's: alone, beside others, and of truncated texts."""
    manifest = Manifest.read(folder)
    expected = logits(model, TEXTS)
    flags = ("--model-id", str(folder), "--dtype", "float32", "--provider", "cpu")
    body = {"query": QUERY, "texts": TEXTS}
    with Server(*flags, "--log-level", "error") as server:
        server.wait_ready()
        raw = ask(server.port, "/rerank", body | {"raw_scores": True, "truncate": True})
        printed = ask(server.port, "/rerank", body | {"truncate": True})
        alone = [
            ask(server.port, "/predict", {"inputs": [QUERY, text], "raw_scores": True})[0]["score"]
            for text in TEXTS
        ]
        too_long = ask(server.port, "/rerank", body | {"truncate": False})
        single = ask(server.port, "/predict", {"inputs": "ok"})
    assert [one["index"] for one in raw] == np.argsort(-expected, kind="stable").tolist()
    found = {one["index"]: one["score"] for one in raw}
    np.testing.assert_allclose([found[i] for i in range(len(TEXTS))], expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-4)
    found = {one["index"]: one["score"] for one in printed}
    squashed = 1 / (1 + np.exp(-expected))
    np.testing.assert_allclose([found[i] for i in range(len(TEXTS))], squashed, rtol=0, atol=1e-5)
    assert too_long[0] == 422
    assert f"must have less than {manifest.max_input_length} tokens" in too_long[1]
    assert single[0] == 422
    assert "must be pairs of texts" in single[1]


def scorer(published: Path) -> CrossEncoder:
    """sentence-transformers' own scorer, with its remedy for a template without roles."""
    found = read.read(published).causal
    assert found is not None
    template = {"chat_template": found.template}
    return CrossEncoder(str(published), device="cpu", processor_kwargs=template)


def test_qwen3_reranker_is_asked_as_its_card_has_it(published: Path) -> None:
    model = scorer(published)
    chat = chats.ask(model, read.read(published))
    tokens = model.tokenizer
    assert chat.answers is not None
    answers = [chat.answers.true_id, chat.answers.false_id]
    assert answers == tokens.convert_tokens_to_ids(["yes", "no"])
    assert chat.pair_text is not None
    ending = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert list(chat.pair_text.ending) == tokens(ending)["input_ids"]
    # The card's code joins its parts as tokens.
    assert chat.pair_text.text("Why?", "So.") == (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
        'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
        "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
        "answer the query\n<Query>: Why?\n<Document>: So.<|im_end|>\n"
        "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    )


@pytest.mark.slow
def test_qwen3_reranker_as_published(published: Path, tmp_path: Path) -> None:
    folder = pipeline.export(Request(str(published), models_dir=tmp_path))
    manifest = Manifest.read(folder)
    assert (manifest.task, manifest.pooling, manifest.dimensions) == ("reranker", None, 1)
    assert (manifest.max_input_length, manifest.padding.side) == (512, "left")
    check_served(folder, scorer(published))


@pytest.mark.slow
def test_a_model_saved_by_sentence_transformers(saved: Path, tmp_path: Path) -> None:
    folder = pipeline.export(Request(str(saved), models_dir=tmp_path))
    manifest = Manifest.read(folder)
    assert (manifest.max_input_length, manifest.padding.side) == (LENGTH, "right")
    assert manifest.certificates[0].reference == "sentence-transformers"
    assert manifest.pair_text is not None
    text = manifest.pair_text.text(" Why? ", "So.\n")
    assert text == "Is it so?\nD: So. Q: Why?<|im_end|>\nA:"
    check_served(folder, CrossEncoder(str(saved), device="cpu"))


@pytest.mark.slow
def test_a_classifier_that_reranks_has_its_chat_template_too(tmp_path: Path) -> None:
    [model] = [one for one in TINY_MODELS if one.name == "qwen3-reranker"]
    source = checkpoints.write(model, tmp_path / "source")
    (source / "chat_template.jinja").write_text(OWN)
    folder = pipeline.export(Request(str(source), models_dir=tmp_path / "models"))
    assert Manifest.read(folder).certificates[0].reference == "sentence-transformers"
    check_served(folder, CrossEncoder(str(source), device="cpu"))


@pytest.mark.parametrize("name", ["own", "saved", "published"])
def test_no_pooling_makes_an_embedder_of_a_reranker(
    request: pytest.FixtureRequest, name: str
) -> None:
    folder = request.getfixturevalue(name)
    with pytest.raises(ExportError, match=r"--pooling last-token .* the model is a reranker"):
        read.read(folder, "last_token")


def test_an_id_of_the_hub_is_a_name(published: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(published, tmp_path / ("a" * 40))
    assert read.read(folder, model_id="Qwen/Qwen3-Reranker-4B").task == "reranker"
    with pytest.raises(ExportError, match="predicts the next token"):
        read.read(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("some-reranker", r"is a reranker \(by its name\), and no file says in which words"),
        ("Qwen3-Reranker-capped", "final_logit_softcapping is not supported"),
    ],
)
def test_a_reranker_whose_score_is_not_known_is_refused_by_name(
    published: Path, tmp_path: Path, name: str, message: str
) -> None:
    folder = shutil.copytree(published, tmp_path / name)
    path = folder / "config.json"
    write_json(path, json.loads(path.read_text()) | {"final_logit_softcapping": 30.0})
    with pytest.raises(ExportError, match=message):
        read.read(folder)


def test_a_decoder_whose_card_says_that_it_embeds_is_no_reranker(own: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(own, tmp_path / "a-reranker-once")
    (folder / "README.md").write_text("---\npipeline_tag: feature-extraction\n---\n")
    assert read.read(folder, "last_token").task == "embedding"


CLASSIFIER = {"architectures": ["Qwen3ForSequenceClassification"], "id2label": {"0": "LABEL_0"}}


@pytest.mark.parametrize(
    ("name", "config", "message"),
    [
        ("saved", {}, "reranker that scores a pair by its next token: export it"),
        ("own", CLASSIFIER, "a query and a document through a chat template"),
    ],
)
def test_an_onnx_graph_of_one_is_refused_by_name(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, config: dict[str, Any], message: str
) -> None:
    folder = shutil.copytree(request.getfixturevalue(name), tmp_path / name)
    path = folder / "config.json"
    write_json(path, json.loads(path.read_text()) | config)
    (folder / "model.onnx").write_bytes(b"")
    with pytest.raises(ExportError, match=message):
        pipeline.prepare(Preparation(folder, tmp_path / "models", "m", "m"))
