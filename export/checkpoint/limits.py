"""Limits: how long an input may be, on which side it is cut, and how a batch is padded."""

from app.model.names import Side
from app.model.parts import Padding
from export.config.documents import Document
from export.errors import ExportError

NO_LIMIT = 1_000_000  # transformers writes 1e30 for a tokenizer without one

# Families that count positions from pad_token_id + 1. TEI lists the first three.
_OFFSET_MODEL_TYPES = frozenset(
    {
        "roberta",
        "xlm-roberta",
        "camembert",
        "mpnet",
        "data2vec-text",
        "roberta-prelayernorm",
        "xlm-roberta-xl",
    }
)


def places(config: Document, model_type: str) -> int | None:
    """Return how many positions there are for tokens, unused ones left out; None if unlimited."""
    positions = config.first_integer("max_position_embeddings", "max_trained_positions")
    if positions is None or positions < 0:  # XLNet has none, and says -1
        return None
    if model_type in _OFFSET_MODEL_TYPES:
        positions -= (config.first_integer("pad_token_id") or 0) + 1
    return positions


def max_input_length(stated: int | None, tokenizer: Document, places: int | None) -> int:
    """Return the stated maximum in tokens, or else the tokenizer's, but at most `places`.

    Raises: ExportError if nothing says how long an input may be, or if the limit is below 1.
    """
    own = tokenizer.first_integer("model_max_length", "max_len")
    if stated is None and own is not None and own < NO_LIMIT:
        stated = own
    limits = [limit for limit in (stated, places) if limit is not None]
    if not limits:
        raise ExportError(
            "neither `max_seq_length` in sentence_bert_config.json nor `max_position_embeddings` "
            "in config.json nor `model_max_length` in tokenizer_config.json says how long an input "
            "may be: the model is not supported"
        )
    if min(limits) < 1:
        raise ExportError(
            f"the maximum input length is {min(limits)}: config.json, sentence_bert_config.json or "
            "tokenizer_config.json is damaged"
        )
    return min(limits)


def padding(config: Document, tokenizer: Document) -> Padding:
    """Return the ids that pad a batch, and the side that they go on.

    Raises: ExportError for an unknown side.
    """
    pad_id = config.first_integer("pad_token_id", "eos_token_id") or 0
    type_id = tokenizer.value("pad_token_type_id", int) or 0
    return Padding(id=pad_id, type_id=type_id, side=_side(tokenizer, "padding_side"))


def truncation_side(tokenizer: Document) -> Side:
    """Return the side on which an input is cut.

    Raises: ExportError for an unknown side.
    """
    return _side(tokenizer, "truncation_side")


def _side(tokenizer: Document, key: str) -> Side:
    side = tokenizer.value(key, str) or "right"
    if side not in {"left", "right"}:
        raise ExportError(f"tokenizer_config.json: {key}: {side!r} is not left or right")
    return "left" if side == "left" else "right"
