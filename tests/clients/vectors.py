"""The texts that every client sends, and the check of their vectors."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# More than the ten that some clients send at once, in no order of length, and beyond ASCII.
TEXTS = [
    "Hello, world!",
    "The quick brown fox jumps over the lazy dog while the sun sets behind the distant hills.",
    "猫",
    "Größe, façade, naïve, Ω and ½.",
    "Embeddings map texts to vectors. " * 20,
    "مرحبا بالعالم",
    "I like 🍕 and 👩‍👩‍👧‍👦!",
    "cat",
    'He said "no\\yes" and left a\ttab.',
    "Что такое осень? Это небо.",
    "SELECT name FROM users WHERE id = 1;",
    "two words",
]
# For the reranker, whose vocabulary is a few words: each of them is one document.
QUERY = "dog"
DOCUMENTS = ["the cat sat", "hello world", "a b c", "the dog", "mat", "query : a"]
TOO_MANY = ["text"] * 33
TOO_MANY_ERROR = "batch size 33 > maximum allowed batch size 32; --max-client-batch-size raises it"
# The limit of OpenAI's route is OpenAI's own.
OPENAI_TOO_MANY = ["text"] * 2049
OPENAI_TOO_MANY_ERROR = (
    "batch size 2049 > maximum allowed batch size 2048; --max-client-batch-size raises it"
)


def assert_same(actual: Any, expected: Sequence[Sequence[float]]) -> None:
    """Fail unless both have the same number of vectors, widths and directions, in order."""
    got, want = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert got.shape == want.shape
    cosines = (got * want).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)
    assert cosines.min() >= 0.99999
    assert np.abs(got - want).max() <= 1e-4
