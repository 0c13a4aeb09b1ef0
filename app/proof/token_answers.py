"""Token answers: per-token outputs, which of them a probe stores, and how they are compared.

A lexical weight is one number, so that of every token is stored. Vectors are stored for a few
tokens only: all of them would take more room than the model.
"""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from app.model.names import LEXICAL_WEIGHTS, MULTI_VECTOR_EMBEDDING
from app.proof.bounds import Agreement
from app.proof.compare import Answers, compare_logits, compare_vectors

# The per-token outputs that probes store, and the number of axes of each.
AXES: Mapping[str, int] = MappingProxyType({LEXICAL_WEIGHTS: 1, MULTI_VECTOR_EMBEDDING: 2})
VECTORS_EACH = 4  # of a probe's tokens, the first and the last among them

# By output: (T,) weights or (T, D) vectors, for the T stored tokens of all probes.
TokenAnswers = Mapping[str, NDArray[np.float32]]


def kept_places(output: str, length: int) -> NDArray[np.int64]:
    """Return the places of the tokens of an input whose answers a probe stores."""
    if output == LEXICAL_WEIGHTS:
        return np.arange(length)
    return np.unique(np.linspace(0, length - 1, VECTORS_EACH).astype(np.int64))


def judged_with(
    agreement: Agreement, output: str, reference: NDArray[np.float32], answers: Answers
) -> Agreement:
    """Return an agreement extended by how closely one more output matches."""
    if output != LEXICAL_WEIGHTS:
        return replace(agreement, token_cosine=compare_vectors(reference, answers).worst_cosine)
    columns = Answers(answers.batched[:, None], answers.alone[:, None], answers.places)
    found = compare_logits(reference[:, None], columns)
    return replace(agreement, lexical_cosine=found.worst_cosine, lexical_error=found.largest_error)
