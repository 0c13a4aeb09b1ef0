"""`make bench-quality`: how close what is served comes to sentence-transformers, over 2,000 texts.

The server chooses provider and precision by itself, as it does for everyone; it is asked over HTTP,
in batches and, for some texts, alone. The figures go to `docs/performance.md`.
"""

import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import numpy as np
from numpy.typing import NDArray

from app.inference.providers import machine
from app.proof.bounds import Agreement
from app.proof.compare import Answers, compare_vectors
from export.source.default_model import DEFAULT_MODEL_ID, installed
from tools.bench.load import BULK_ROWS, get, post, serving
from tools.bench.peers.child import REFERENCE, child
from tools.bench.report import PAGE, insert
from tools.process import Server
from tools.texts import passages

COUNT, LONGEST_WORDS = 2000, 100
ALONE = range(0, COUNT, 20)


def main() -> int:
    """Measure the default model; return the exit code."""
    texts = passages(COUNT, LONGEST_WORDS, seed=4)
    expected = reference(texts)
    with serving(DEFAULT_MODEL_ID, "auto") as (server, _):
        info = get(server, "/info")
        found = compare_vectors(expected, answers(server, texts))
    line = told(found, f"{info['provider']} {info['model_dtype']}")
    print(line)  # noqa: T201  # what it is for
    insert(PAGE, [line], "make bench-quality")
    return 0


def reference(texts: Sequence[str]) -> NDArray[np.float32]:
    """The unit vectors of sentence-transformers, from the original weights, (N, D)."""
    folder = installed()
    assert folder is not None, "the default model's package is missing: make setup"
    with child(REFERENCE, folder) as library:
        return library.vectors(texts)


def answers(server: Server, texts: Sequence[str]) -> Answers:
    """Return the served vectors: all texts in batches, and some texts alone."""
    groups = [texts[start : start + BULK_ROWS] for start in range(0, len(texts), BULK_ROWS)]
    groups += [[texts[place]] for place in ALONE]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda group: json.loads(post(server, {"inputs": group})), groups))
    vectors = np.array([vector for group in found for vector in group], np.float32)
    return Answers(vectors[: len(texts)], vectors[len(texts) :], ALONE)


def told(found: Agreement, kind: str) -> str:
    """Describe the figures that decide whether a lower precision is chosen by default."""
    return (
        f"`make bench-quality`, {machine.describe()}, {date.today():%d %B %Y}: {DEFAULT_MODEL_ID} "
        f"served in {kind}, to sentence-transformers over {COUNT:,} texts of 1 to {LONGEST_WORDS} "
        f"words: worst cosine {found.worst_cosine:.7f}, first percentile "
        f"{found.first_percentile:.7f}, ten nearest the same {found.neighbour_overlap:.4f}, "
        f"alone and in a batch {found.batch_cosine:.7f} at worst."
    )


if __name__ == "__main__":
    sys.exit(main())
