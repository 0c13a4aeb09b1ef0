"""Fingerprint: one digest of everything that defines a vector space."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from app.model.digests import file_digest
from app.model.names import usual_activation
from export.checkpoint.read import Checkpoint
from export.checkpoint.tokenizer_file import sources
from export.config.layers import Head, Layer, Normalize, TokenHeads
from export.weights.weight_files import of_layer


def fingerprint(
    weights: Sequence[Path], tokenizer: Path, checkpoint: Checkpoint, code: Sequence[str] = ()
) -> str:
    """Return the SHA-256 of weights, tokenizer, head, labels, prompts and length; not of tools.

    `code` holds the digests of the Python files of a model that brings its own implementation.
    """
    head = checkpoint.head
    space: dict[str, object] = {
        "weights": [file_digest(path) for path in weights],
        "tokenizer": _of_tokenizer(tokenizer, checkpoint),
        "pooling": head.pooling if head else checkpoint.task,
        "prompts": checkpoint.prompts,
        "default_prompt_name": checkpoint.default_prompt_name,
        "max_input_length": checkpoint.max_input_length,
    }
    if code:
        space["code"] = list(code)
    if checkpoint.labels:
        space["labels"] = checkpoint.labels
    if checkpoint.activation not in {None, usual_activation(len(checkpoint.labels))}:
        space["activation"] = checkpoint.activation
    if checkpoint.lower_case:
        space["lower_case"] = True
    if checkpoint.splade is not None and checkpoint.splade.facts:
        space["splade"] = checkpoint.splade.facts
    if checkpoint.causal is not None and checkpoint.causal.answers is not None:
        answers = checkpoint.causal.answers
        space["answers"] = [answers.true_id, answers.false_id]
    if checkpoint.pair_text is not None:
        space["pair_text"] = asdict(checkpoint.pair_text)
    if head is not None:
        space |= _beyond_pooling(head)
    if checkpoint.tokens.layers:
        space["tokens"] = _of_tokens(checkpoint.tokens)
    return hashlib.sha256(json.dumps(space, sort_keys=True).encode()).hexdigest()


def lossy(fingerprint: str, scheme: str) -> str:
    """Return the fingerprint of a vector space after rounding by a scheme."""
    return hashlib.sha256(f"{fingerprint}\n{scheme}".encode()).hexdigest()


def _beyond_pooling(head: Head) -> dict[str, object]:
    """Return the facts of a head besides its pooling."""
    found: dict[str, object] = {}
    if head.layers:
        found["layers"] = [_layer(layer) for layer in head.layers]
    if head.cut is not None:
        found["cut"] = head.cut
    if not head.include_prompt:
        found["include_prompt"] = False
    return found


def _of_tokens(heads: TokenHeads) -> dict[str, object]:
    return {
        "lexical": [_layer(layer) for layer in heads.lexical],
        "ignored": heads.ignored_ids,
        "multi_vector": [_layer(layer) for layer in heads.multi_vector],
        "skipped": heads.skipped_id,
    }


def _of_tokenizer(tokenizer: Path, checkpoint: Checkpoint) -> object:
    """Return the digest of the checkpoint's own file, or those of the files it was made from."""
    if checkpoint.tokenizer.parent == checkpoint.folder:
        return file_digest(tokenizer)
    return [file_digest(path) for path in sources(checkpoint.folder)]


def _layer(layer: Layer) -> list[object]:
    weights = [] if isinstance(layer, Normalize) else [file_digest(of_layer(layer.weights))]
    return [*layer.facts, *weights]
