"""Token heads: the layers that BGE-M3 keeps beside its encoder, described without torch.

FlagEmbedding saves two linear layers as files of their own: one gives each token a weight, the
other a vector to compare. The rules for both are those of its M3Embedder.
"""

from pathlib import Path

from export.config.documents import Document
from export.config.layers import Linear, Normalize, TokenHeads

SPARSE_FILE = "sparse_linear.pt"
MULTI_VECTOR_FILE = "colbert_linear.pt"

_SPECIAL = ("cls_token", "eos_token", "pad_token", "unk_token")


def read(folder: Path, width: int, tokenizer: Path) -> TokenHeads:
    """Return the heads in an encoder's folder, if any, for token embeddings of `width` values.

    `tokenizer` is the file of the tokenizer that is served.

    Raises: ExportError if the tokenizer's files cannot be read.
    """
    sparse, vectors = folder / SPARSE_FILE, folder / MULTI_VECTOR_FILE
    weighs, compares = sparse.is_file(), vectors.is_file()
    if not weighs and not compares:
        return TokenHeads()
    special = _special_ids(folder, tokenizer)
    return TokenHeads(
        lexical=(Linear(sparse, width, 1, "ReLU"),) if weighs else (),
        multi_vector=(Linear(vectors, width), Normalize()) if compares else (),
        ignored_ids=tuple(sorted(set(special.values()))) if weighs else (),
        skipped_id=special.get("cls_token") if compares else None,
    )


def _special_ids(folder: Path, tokenizer: Path) -> dict[str, int]:
    """Return the ids of the tokenizer's special tokens, by role."""
    ids = _ids(Document.read(tokenizer))
    found = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):  # the latter wins
        document = Document.read(folder / name)
        for role in _SPECIAL:
            text = document.token(role)
            if text in ids:
                found[role] = ids[text]
    return found


def _ids(tokenizer: Document) -> dict[str | None, int]:
    """Return the id of each token added to the vocabulary, as all special ones are."""
    return {
        one.get("content"): one["id"]
        for one in tokenizer.objects("added_tokens")
        if type(one.get("id")) is int
    }
