"""Sentence reference: a checkpoint's answers as sentence-transformers itself gives them.

Texts go in and vectors or scores come out, by the calls that users of the library make. Nothing
that this program reads from a checkpoint's files is taken for granted: neither tokenization, the
maximum length and prompts nor pooling and the layers behind it.
"""

import logging
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import CrossEncoder, SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from app.model.batch import TokenizedInput
from app.model.lookup.hub_cache import MODULES_FILE
from app.model.names import Task
from app.proof.probes import Probes, ProbeText
from export import probe_texts
from export.checkpoint.read import Checkpoint
from export.config import clip
from export.config.layers import Weights
from export.errors import first_line
from export.reference import chats
from export.reference.answers import Answer, answered
from export.reference.chats import Chat
from export.reference.head import for_tokens
from export.reference.original import Loading

# The library's class for each kind of model that it answers for.
_CLASSES: Mapping[Task, Any] = MappingProxyType(
    {"embedding": SentenceTransformer, "splade": SparseEncoder, "reranker": CrossEncoder}
)
TASKS = frozenset(_CLASSES)
_ONE_BY_ONE = MappingProxyType({"batch_size": 1, "show_progress_bar": False})


class Unloadable(Exception):
    """A failure of sentence-transformers to load or run a checkpoint, by its own first line."""


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """The library's answers to the probes, and how it reads a pair."""

    probes: Probes
    chat: Chat


def compute(
    loading: Loading, checkpoint: Checkpoint, texts: Sequence[ProbeText], weights: Weights
) -> Said:
    """Ask the library for every text or pair by itself, in float32.

    `weights` are those of the layers behind the encoder. The library has no heads for single
    tokens: they are computed here from its token embeddings.

    Raises: Unloadable; ExportError as `answered` and `chats.ask` do.
    """
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about old checkpoints, which cannot be changed here
        try:
            model = _load(loading, checkpoint)
            say = _predict if checkpoint.task == "reranker" else _encode
            say(model, texts[:1], "")
        except Exception as error:  # a strange checkpoint can make it fail in any way
            raise Unloadable(first_line(error)) from error
        chat = chats.ask(model, checkpoint) if checkpoint.task == "reranker" else Chat()
        listener = _Listener(model)

        def ask(some: Sequence[ProbeText], prompt: str) -> list[Answer]:
            vectors = say(model, some, prompt)
            return [
                _answer(listener.heard(text), vector, checkpoint, weights)
                for text, vector in zip(some, vectors, strict=True)
            ]

        found = answered(ask, texts, probe_texts.prompts(checkpoint, len(texts)), checkpoint)
        return Said(found, chat)


class _Listener:
    """A record of the features of each text in a model that gets one text at a time."""

    def __init__(self, model: Any) -> None:
        self._features: dict[ProbeText, dict[str, Any]] = {}
        self._turn = threading.Lock()
        self._preprocess = model.preprocess
        model.preprocess = self._listen

    def heard(self, text: ProbeText) -> dict[str, Any]:
        """Return the features of a text, to which each module has added its own."""
        return self._features[text]

    def _listen(self, texts: Sequence[ProbeText], **options: Any) -> Any:
        with self._turn:  # each call may change how the tokenizer cuts and pads
            found = self._preprocess(texts, **options)
        [text] = texts
        self._features[text] = found
        return found


def _encode(model: Any, texts: Sequence[ProbeText], prompt: str) -> NDArray[np.float32]:
    """Return a vector for each text, (N, D), of unit length if the model ends in a Normalize."""
    named = {"prompt": prompt} if prompt else {}
    dense = {"convert_to_sparse_tensor": False} if isinstance(model, SparseEncoder) else {}
    return np.asarray(model.encode(list(texts), **named, **dense, **_ONE_BY_ONE), np.float32)


def _predict(model: Any, pairs: Sequence[ProbeText], _: str) -> NDArray[np.float32]:
    """Return the logit of each pair, (N, 1)."""
    found = model.predict(list(pairs), activation_fn=torch.nn.Identity(), **_ONE_BY_ONE)
    return np.asarray(found, np.float32).reshape(len(pairs), -1)


def _answer(
    features: Mapping[str, Any],
    vector: NDArray[np.float32],
    checkpoint: Checkpoint,
    weights: Weights,
) -> Answer:
    [ids] = features["input_ids"].numpy()
    types = features.get("token_type_ids")
    before = int(features.get("prompt_length") or 0) if checkpoint.leaves_out_prompts else 0
    row = None if types is None or not types.any() else types[0].numpy()
    each = {}
    if checkpoint.tokens.layers:
        each = for_tokens(checkpoint.tokens, weights, features["token_embeddings"][0].numpy())
    return Answer(TokenizedInput(ids, row, before), vector, each)


def _load(loading: Loading, checkpoint: Checkpoint) -> Any:
    """Load the model as users do, or build it for another pooling or without modules.json."""
    options: dict[str, Any] = {
        "local_files_only": not loading.trust_code,  # code may lie in another repository
        "trust_remote_code": loading.trust_code,
        "model_kwargs": {"dtype": torch.float32},
    }
    head = None if clip.is_clip(checkpoint.architecture) else checkpoint.head
    if head is not None and (loading.pooling or not (loading.root / MODULES_FILE).is_file()):
        encoder = Transformer.load(str(checkpoint.folder), **options)
        names = tuple(mode.replace("last_token", "lasttoken") for mode in head.poolings)
        width = encoder.get_embedding_dimension()
        pooling = Pooling(width, names, include_prompt=head.include_prompt)
        model: Any = SentenceTransformer(
            modules=[encoder, pooling],
            prompts=checkpoint.prompts,
            default_prompt_name=checkpoint.default_prompt_name,
            device="cpu",
        )
    else:
        if checkpoint.causal is not None and checkpoint.causal.template is not None:
            options["processor_kwargs"] = {"chat_template": checkpoint.causal.template}
        if checkpoint.counts_labels:
            options["num_labels"] = len(checkpoint.labels)
        model = _CLASSES[checkpoint.task](str(loading.root), device="cpu", **options)
    if checkpoint.places is not None and model.max_seq_length is not None:
        # RoBERTa's family reserves some positions: texts that need them end in an error.
        model.max_seq_length = min(model.max_seq_length, checkpoint.places)
    if model.config is not None:
        # ModernBERT would be compiled again for each length: half a minute for a tiny model.
        model.config.reference_compile = False
    return model
