"""Model2Vec: a static model in the layout of the library of that name, and what it answers.

That library is not part of an export's environment, and all that it does is here in a few lines;
tests compare them with vectors that it made.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from app.model.batch import TokenizedInput
from app.model.manifest import TOKENIZER_FILE
from app.model.parts import Padding
from app.proof.probes import Probes
from export.checkpoint.read import Checkpoint
from export.checkpoint.routers import Way
from export.config.layers import Head
from export.config.model2vec import WEIGHTS_FILE, Settings
from export.errors import ExportError, first_line
from export.routes.static_models import UNLIMITED, StaticModel
from export.weights import tensors

_MATRIX = 2  # dimensions
Floats = NDArray[np.float32]


def read(way: Way, folder: Path) -> StaticModel:
    """Read the model of a route that is unfolded in `folder`.

    Raises: ExportError naming what does not fit together.
    """
    place = folder / f"0_{way.modules[0].name}"
    settings = Settings.read(place)
    table, mapping, weights = _arrays(place / WEIGHTS_FILE)
    size = len(table) if mapping is None else len(mapping)
    tokens = _tokenizer(place / TOKENIZER_FILE).get_vocab_size()
    if tokens != size:
        raise ExportError(
            f"{place / WEIGHTS_FILE} has vectors of {size} tokens, and {TOKENIZER_FILE} {tokens} "
            "tokens: fetch the model again"
        )
    table, weights = _silenced(settings.unknown, table, mapping, weights)
    return StaticModel(
        Checkpoint(
            folder=place,
            tokenizer=place / TOKENIZER_FILE,
            architecture="StaticModel",
            model_type="model2vec",
            task="embedding",
            head=Head(("mean",), (), None),
            encoder_width=table.shape[1],
            dimensions=table.shape[1],
            max_input_length=settings.max_length or UNLIMITED,
            places=None,
            vocabulary_size=size,
            padding=Padding(0, 0, "right"),
            truncation_side="right",
            normalize=settings.normalize,
            similarity="cosine",
            prompts={},
            default_prompt_name=None,
        ),
        table,
        is_sparse=False,
        mapping=mapping,
        weights=weights,
        unknown=settings.unknown,
    )


def compute(model: StaticModel, texts: Sequence[str]) -> Probes:
    """Return the vectors of texts as Model2Vec averages them; of those that have any known token.

    Vectors are not normalized.
    """
    tokenizer = _tokenizer(model.checkpoint.tokenizer)
    tokenizer.no_padding()
    tokenizer.enable_truncation(model.checkpoint.max_input_length)
    kept, inputs, vectors = [], [], []
    for text in texts:
        ids = np.array(tokenizer.encode(text, add_special_tokens=False).ids, np.int64)
        known = ids if model.unknown is None else ids[ids != model.unknown]
        if known.size:
            rows = model.table[known if model.mapping is None else model.mapping[known]]
            scaled = rows if model.weights is None else rows * model.weights[known][:, None]
            kept.append(text)
            inputs.append(TokenizedInput(ids))
            vectors.append(scaled.mean(axis=0, dtype=np.float32))
    if not kept:
        raise ExportError(f"{model.checkpoint.tokenizer} knows no token of any probe text")
    return Probes(tuple(kept), tuple(inputs), np.stack(vectors), names=("",) * len(kept))


def _tokenizer(path: Path) -> Tokenizer:
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  # tokenizers raises nothing narrower
        raise ExportError(f"{path} cannot be read: {first_line(error)}") from None


def _arrays(path: Path) -> tuple[Floats, NDArray[np.int64] | None, Floats | None]:
    """Read the vectors, (T, D), and if they are there the mapping and the weights, each (V,).

    Raises: ExportError if they do not fit together.
    """
    found = tensors.read_all(path)
    table = found["embeddings"].float().numpy()
    mapping = found["mapping"].long().numpy() if "mapping" in found else None
    weights = found["weights"].float().numpy() if "weights" in found else None
    tokens = table.shape[:1] if mapping is None else mapping.shape
    fits = table.ndim == _MATRIX and table.size and len(tokens) == 1
    if mapping is not None and fits:
        fits = mapping.size and mapping.min() >= 0 and mapping.max() < len(table)
    if not fits or (weights is not None and weights.shape != tokens):
        raise ExportError(f"{path}: its embeddings, mapping and weights do not fit together")
    return table, mapping, weights


def _silenced(
    unknown: int | None, table: Floats, mapping: NDArray[np.int64] | None, weights: Floats | None
) -> tuple[Floats, Floats | None]:
    """Return vectors and weights of which the unknown token's are 0: it adds nothing to a sum."""
    if unknown is None:
        return table, weights
    if mapping is None and weights is None:
        table = table.copy()
        table[unknown] = 0
        return table, None
    size = len(table) if mapping is None else len(mapping)
    weights = np.ones(size, np.float32) if weights is None else weights.copy()
    weights[unknown] = 0
    return table, weights
