"""ColBERT: what PyLate says of a model that compares texts token by token, beside its layers.

PyLate puts a token before each query and each document. Where the tokenizer knows it, a prompt of
the same text does the same.
"""

from collections.abc import Iterator
from pathlib import Path

from export.config.documents import Document
from export.config.sentence_settings import SentenceSettings


def prompts(tokenizer: Path, settings: SentenceSettings) -> dict[str, str]:
    """The model's prompts, PyLate's prefixes among them."""
    known = _added(tokenizer)
    prefixes = {role: text for role, text in settings.prefixes.items() if text in known}
    return settings.prompts | prefixes


def warnings(tokenizer: Path, settings: SentenceSettings) -> Iterator[str]:
    """What of PyLate's preparation of texts is left to the client."""
    yield (
        "a ColBERT model is served by /embed_all, a vector for every token: queries are not filled "
        "up with mask tokens, and punctuation is not left out, as PyLate does"
    )
    known = _added(tokenizer)
    for role, text in settings.prefixes.items():
        if text not in known:
            yield f"the {role} prefix {text!r} is not one token of the tokenizer, and left out"


def _added(tokenizer: Path) -> set[object]:
    tokens = Document.read(tokenizer).objects("added_tokens")
    return {token.get("content") for token in tokens}
