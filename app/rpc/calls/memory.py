"""Memory: estimates for a message and its answer, by size, before it is read."""

from collections.abc import Callable, Mapping

from app.api.shapes.inputs import ID_BYTES
from app.api.verbs.tei_tokenize import ANSWER_BYTES
from app.inference.computing import NUMBER_BYTES
from app.inference.served_model import ServedModel

CHARACTER_BYTES = 4  # memory of a character that takes one byte in a message, at most
EMPTY_TEXT_BYTES = 80
SPECIAL_TOKENS = 8  # more than any model adds


def _vector(model: ServedModel, _: int) -> int:
    return NUMBER_BYTES * model.manifest.dimensions


def _vectors_of_tokens(model: ServedModel, size: int) -> int:
    tokens = min(size + SPECIAL_TOKENS, model.loaded.max_input_length)
    return NUMBER_BYTES * tokens * model.manifest.dimensions


# The bytes of an answer, by the name of the call for one message; other answers take few.
_ANSWERS: Mapping[str, Callable[[ServedModel, int], int]] = {
    "Embed": _vector,
    "EmbedSparse": _vector,
    "EmbedAll": _vectors_of_tokens,
    "Tokenize": lambda _, size: ANSWER_BYTES * size,
    "Decode": lambda _, size: (ID_BYTES + ANSWER_BYTES) * size,
}


def most_memory(name: str, model: ServedModel, size: int) -> int:
    """Return how many bytes a message of `size` may take beside itself, with its answer."""
    answer = _ANSWERS[name](model, size) if name in _ANSWERS else 0
    return EMPTY_TEXT_BYTES + CHARACTER_BYTES * size + answer
