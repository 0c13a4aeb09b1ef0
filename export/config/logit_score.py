"""Logit score: sentence-transformers' module that computes a score from the next token's logits."""

from dataclasses import dataclass
from pathlib import Path

from export.config.documents import Document
from export.errors import ExportError

_INPUT = "causal_logits"  # what a Transformer for text-generation yields


@dataclass(frozen=True, slots=True)
class LogitScore:
    """The ids of the token whose logit is the score, and of one to subtract, if any."""

    true_id: int
    false_id: int | None


def read(folder: Path) -> LogitScore:
    """Read the LogitScore that `config.json` in `folder` describes.

    Raises: ExportError naming the key that cannot be understood.
    """
    path = folder / "config.json"
    config = Document.read(path)
    true_id, false_id = config.value("true_token_id", int), config.value("false_token_id", int)
    if true_id is None:
        raise ExportError(f"{path} has no `true_token_id`: fetch the model again")
    if min(true_id, false_id or 0) < 0 or true_id == false_id:
        raise ExportError(
            f"{path}: true_token_id {true_id} and false_token_id {false_id} are not two tokens, so "
            "that a score says nothing: name those that the reranker was trained to answer with"
        )
    name = config.value("module_input_name", str) or _INPUT
    if name != _INPUT:
        raise ExportError(f"{path}: module_input_name {name!r} is not supported, only {_INPUT!r}")
    return LogitScore(true_id, false_id)
