"""Route reference: sentence-transformers' answers to texts on each route through a model.

Texts go in and vectors come out, by the calls that its users make: `encode_query`,
`encode_document` and `encode`.
"""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Transformer

from app.model.batch import TokenizedInput
from app.model.names import Task
from app.proof.probes import Probes
from export.errors import ExportError, first_line

_QUIETLY = {"batch_size": 1, "show_progress_bar": False}


def compute(
    folder: Path, task: Task, asked: Sequence[tuple[str, str]], *, places: int | None = None
) -> Probes:
    """Encode each text by itself in float32, under the name of its task or under none.

    `places` is the number of positions of the encoders, or None if they have no limit.

    Raises: ExportError with the library's own message.
    """
    logging.getLogger("sentence_transformers").setLevel(logging.ERROR)
    library: Any = SparseEncoder if task == "splade" else SentenceTransformer
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = library(
                str(folder),
                device="cpu",
                local_files_only=True,
                model_kwargs={"dtype": torch.float32},
            )
            _tame(model, places)
            heard: list[np.ndarray[Any, Any]] = []
            _listen(model, heard)
            vectors = [_vector(model, name, text) for name, text in asked]
    except Exception as error:  # a strange checkpoint can make the library fail in any way
        said = first_line(error)
        raise ExportError(f"sentence-transformers cannot run {folder}: {said}") from error
    names, texts = zip(*asked, strict=True)
    inputs = tuple(TokenizedInput(ids.reshape(-1)) for ids in heard)
    return Probes(texts, inputs, np.stack(vectors), names=names)


def _tame(model: Any, places: int | None) -> None:
    """Make every encoder of a model cut texts to its positions, and run without compilation."""
    for module in model.modules():
        if isinstance(module, Transformer) and places is not None and module.max_seq_length:
            # RoBERTa's family reserves some positions: texts that need them end in an error.
            module.max_seq_length = min(module.max_seq_length, places)
        if hasattr(getattr(module, "config", None), "reference_compile"):
            # ModernBERT would be compiled again for each length.
            module.config.reference_compile = False


def _listen(model: Any, heard: list[np.ndarray[Any, Any]]) -> None:
    """Append the token ids of each text to `heard`."""
    preprocess = model.preprocess

    def listening(*arguments: Any, **options: Any) -> Any:
        features = preprocess(*arguments, **options)
        heard.append(features["input_ids"].numpy().astype(np.int64))
        return features

    model.preprocess = listening


def _vector(model: Any, name: str, text: str) -> np.ndarray[Any, Any]:
    """Encode one text to its vector, (D,)."""
    options: dict[str, Any] = dict(_QUIETLY)
    if isinstance(model, SparseEncoder):
        options["convert_to_sparse_tensor"] = False
    if name == "query":
        [found] = model.encode_query([text], **options)
    elif name == "document":
        [found] = model.encode_document([text], **options)
    elif name:
        named = {"prompt_name": name} if name in model.prompts else {}
        [found] = model.encode([text], task=name, **named, **options)
    else:
        [found] = model.encode([text], **options)
    return np.asarray(found, np.float32)
