"""Tiny rerankers that score a pair by its next token, as published and as saved."""

import json
from dataclasses import replace
from pathlib import Path

from sentence_transformers import CrossEncoder

from tests.support.tiny_checkpoints import write_json
from tools.models import checkpoints
from tools.models.tiny_models import TINY_MODELS

LENGTH = 96  # tokens, for the model with a template of its own
OWN = (
    "{% for m in messages if m.role == 'system' %}{{ m.content }}\n{% endfor %}"
    "D: {{ messages | selectattr('role', 'eq', 'document') | map(attribute='content') | first"
    " | trim }} Q: "
    "{{ messages | selectattr('role', 'eq', 'query') | map(attribute='content') | first | trim }}"
    "<|im_end|>\nA:"
)


def write(folder: Path, positions: int, template: str | None = None) -> Path:
    """Write a tiny Qwen3 that answers yes or no, as published."""
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


def save(own: Path, folder: Path) -> Path:
    """Save as sentence-transformers does, but with one token instead of two, and a prompt."""
    model = CrossEncoder(str(own), device="cpu", prompts={"task": "Is it so?"})
    model.default_prompt_name = "task"
    model.save_pretrained(str(folder))
    path = folder / "1_LogitScore/config.json"
    write_json(path, json.loads(path.read_text()) | {"false_token_id": None})
    path = folder / "tokenizer_config.json"
    write_json(path, json.loads(path.read_text()) | {"padding_side": "right"})
    return folder
