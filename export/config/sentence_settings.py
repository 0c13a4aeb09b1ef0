"""Sentence settings: a whole model's `config_sentence_transformers.json`.

PyLate writes the same file for a ColBERT model, with a token that goes before each query and one
before each document. If the tokenizer knows the token, a prompt of the same text does the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from app.model.names import Similarity
from export.config.documents import Document
from export.errors import ExportError


@dataclass(frozen=True, slots=True)
class SentenceSettings:
    """Prompts by name, how to compare vectors, and how much of a vector to keep."""

    prompts: dict[str, str]
    default_prompt_name: str | None
    similarity: Similarity
    truncate_dim: int | None  # values of a vector; None keeps all
    prefixes: dict[str, str]  # tokens that PyLate puts before a query and before a document
    document_length: int | None  # the most tokens of a document, in PyLate
    max_active_dims: int | None  # values of a sparse vector that are kept, since version 6

    def colbert_prompts(self, tokenizer: Path) -> dict[str, str]:
        """Return the model's prompts, with PyLate's prefixes that the tokenizer knows."""
        known = _added(tokenizer)
        prefixes = {role: text for role, text in self.prefixes.items() if text in known}
        return self.prompts | prefixes

    def colbert_warnings(self, tokenizer: Path) -> Iterator[str]:
        """Yield a warning for each step of PyLate's that is left to the client."""
        yield (
            "a ColBERT model is served by /embed_all, a vector for every token: queries are not "
            "filled up with mask tokens, and punctuation is not left out, as PyLate does"
        )
        known = _added(tokenizer)
        for role, text in self.prefixes.items():
            if text not in known:
                yield f"the {role} prefix {text!r} is not one token of the tokenizer, and left out"


def read(folder: Path) -> SentenceSettings:
    """Read the settings of a checkpoint; the file may be absent.

    Raises: ExportError naming the setting that cannot be understood.
    """
    path = folder / "config_sentence_transformers.json"
    document = Document.read(path)
    # A prompt may be null, which is the same as none of that name.
    prompts = {
        name: text
        for name, text in (document.value("prompts", dict) or {}).items()
        if text is not None
    }
    if not all(isinstance(text, str) for text in prompts.values()):
        raise ExportError(f"{path}: prompts: every prompt must be a string")
    name = document.value("default_prompt_name", str)
    if name is not None and name not in prompts:
        raise ExportError(f"{path}: default_prompt_name: {name!r} is not one of the prompts")
    cut = document.value("truncate_dim", int)
    if cut is not None and cut < 1:
        raise ExportError(f"{path}: truncate_dim: {cut} is not a positive number")
    found = {role: document.value(f"{role}_prefix", str) for role in ("query", "document")}
    prefixes = {role: text for role, text in found.items() if text}
    length = document.value("document_length", int)
    return SentenceSettings(
        prompts=prompts,
        default_prompt_name=name,
        similarity=_similarity(document, path),
        truncate_dim=cut,
        prefixes=prefixes,
        document_length=length,
        max_active_dims=document.value("max_active_dims", int),
    )


def _added(tokenizer: Path) -> set[object]:
    tokens = Document.read(tokenizer).objects("added_tokens")
    return {token.get("content") for token in tokens}


def _similarity(document: Document, path: Path) -> Similarity:
    stated = document.value("similarity_fn_name", str) or "cosine"
    for similarity in get_args(Similarity):
        if stated == similarity:
            found: Similarity = similarity
            return found
    raise ExportError(f"{path}: similarity_fn_name: {stated!r} is not supported")
