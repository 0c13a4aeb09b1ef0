"""Chats: how a template puts a pair, and which templates cannot be described."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from sentence_transformers import CrossEncoder

from export import pipeline
from export.checkpoint import read
from export.cli import Request
from export.errors import ExportError
from export.reference import chats
from tests.support.tiny_checkpoints import write_json
from tools.models import checkpoints
from tools.models.tiny_models import TINY_MODELS

LENGTH = 96  # tokens of the model with a template of its own
OWN = (
    "{% for m in messages if m.role == 'system' %}{{ m.content }}\n{% endfor %}"
    "D: {{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first"
    " | trim }} Q: "
    "{{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first | trim }}"
    "<|im_end|>\nA:"
)


def write(folder: Path, positions: int, template: str | None = None) -> Path:
    """A tiny Qwen3 that answers yes or no, as it is published."""
    [model] = [one for one in TINY_MODELS if one.name == "qwen3-lasttoken"]
    config = {**model.config, "max_position_embeddings": positions}
    model = replace(model, tokenizer="qwen-reranker", task="reranker", config=config)
    checkpoints.write(model, folder, "left")
    (folder / "sentence_bert_config.json").unlink()
    path = folder / "tokenizer_config.json"
    write_json(path, json.loads(path.read_text()) | {"model_max_length": 131_072})
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its prompt stands in its chat template."""
    return write(tmp_path_factory.mktemp("own") / "ranks", LENGTH, OWN)


@pytest.fixture(scope="module")
def saved(own: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As sentence-transformers saves it, but for one token instead of two, and a prompt."""
    folder = tmp_path_factory.mktemp("saved") / "saved"
    model = CrossEncoder(str(own), device="cpu", prompts={"task": "Is it so?"})
    model.default_prompt_name = "task"
    model.save_pretrained(str(folder))
    path = folder / "1_LogitScore/config.json"
    write_json(path, json.loads(path.read_text()) | {"false_token_id": None})
    path = folder / "tokenizer_config.json"
    write_json(path, json.loads(path.read_text()) | {"padding_side": "right"})
    return folder


ROLE = "{{{{ messages | selectattr('role', 'eq', '{}') | map(attribute='content') | first{} }}}}"
TWICE = ROLE.format("query", "") + ROLE.format("document", "") + ROLE.format("document", "")
UPPER = "Q: " + ROLE.format("query", " | upper") + " D: " + ROLE.format("document", "")
LONG = "word " * LENGTH + ROLE.format("query", "") + " " + ROLE.format("document", "")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        (TWICE, "more with a query and a document than to put words around each"),
        (UPPER, "more with a query and a document than to put words around each"),
        (LONG, f"tokens of the {LENGTH} that it reads"),
    ],
)
def test_a_template_that_cannot_be_described_is_refused(
    own: Path, template: str, message: str
) -> None:
    model = CrossEncoder(str(own), device="cpu", processor_kwargs={"chat_template": template})
    model[0].processor.chat_template = template
    with pytest.raises(ExportError, match=message) as refusal:
        chats.ask(model, read.read(own))
    assert "\n" not in str(refusal.value)


def test_a_template_that_carries_no_pair_is_refused(saved: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(saved, tmp_path / "saved")
    (folder / "chat_template.jinja").write_text("{{ messages[-1].role }}")
    with pytest.raises(ExportError, match=r"is a reranker .* cannot carry a 'query'/'document'"):
        pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))


def test_a_tokenizer_without_the_answers_is_refused(own: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(own, tmp_path / "own")
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["yep"] = content["model"]["vocab"].pop("yes")
    merges = [one for one in content["model"]["merges"] if "".join(one) != "yes"]
    write_json(path, content | {"model": content["model"] | {"merges": merges}})
    with pytest.raises(ExportError, match="has no tokens `yes` and `no` for the model to answer"):
        pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))
