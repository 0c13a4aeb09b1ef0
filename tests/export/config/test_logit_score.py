"""What sentence-transformers' LogitScore may say."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sentence_transformers import CrossEncoder

from export.checkpoint import read
from export.errors import ExportError
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"true_token_id": None}, "has no `true_token_id`"),
        ({"false_token_id": 5, "true_token_id": 5}, "are not two tokens"),
        ({"module_input_name": "scores"}, "module_input_name 'scores' is not supported"),
    ],
)
def test_a_damaged_logit_score_is_refused(
    saved: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    folder = shutil.copytree(saved, tmp_path / "saved")
    path = folder / "1_LogitScore/config.json"
    write_json(path, json.loads(path.read_text()) | change)
    with pytest.raises(ExportError, match=message):
        read.read(folder)
