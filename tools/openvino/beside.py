"""Cost of a run alone and beside another one: `python -m tools.openvino.beside FOLDER`.

Milliseconds of processor time for each run, the least and the median of short rounds in turns, for
two threads that run batches of one shape at a time. Both have a core of their own only where
nothing else is at work; the processor's time shows what they take from each other in the caches.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from app.inference.providers.plan import ProviderRequest
from app.inference.providers.session import Session, plans
from app.model.batch import Batch, TokenizedInput, collate
from app.model.manifest import Manifest
from app.model.names import SENTENCE_EMBEDDING, Dtype, Provider

SHAPES = ((16, 8), (2, 128), (4, 128), (16, 64), (8, 128), (16, 128))  # rows, tokens of each
ROUND = 0.05  # seconds of processor time for each thread


def session(folder: Path, manifest: Manifest, dtype: Dtype) -> Session:
    """Return a session in which each run takes one thread, and two may run at a time."""
    provider: Provider = "openvino" if dtype == "bfloat16" else "cpu"
    threads = 2 if provider == "openvino" else 1  # of its own, one for each stream
    [plan] = plans(ProviderRequest(provider, dtype, threads=threads), manifest.task)
    return Session.load(folder, manifest, plan)


class Timed:
    """One shape, and the seconds of its runs, by how many ran at a time."""

    def __init__(self, loaded: Session, batch: Batch) -> None:
        self._session, self._batch = loaded, batch
        self.taken: dict[int, list[float]] = {1: [], 2: []}
        self._runs(1)
        started = time.process_time()
        self._runs(2)
        self._count = max(1, round(2 * ROUND / (time.process_time() - started)))

    def round(self, pool: ThreadPoolExecutor) -> None:
        """Run some batches in one thread, then as many in each of two."""
        for threads, taken in self.taken.items():
            started = time.process_time()
            list(pool.map(self._runs, [self._count] * threads))
            taken.append((time.process_time() - started) / (self._count * threads))

    def figures(self) -> Sequence[float]:
        """Return milliseconds alone and beside another, the least and the median of each."""
        every = self.taken.values()
        return [1e3 * one for taken in every for one in (min(taken), statistics.median(taken))]

    def _runs(self, count: int) -> None:
        for _ in range(count):
            self._session.run(self._batch, [SENTENCE_EMBEDDING])


def main() -> None:
    """Print a row for each shape."""
    parser = argparse.ArgumentParser(prog="python -m tools.openvino.beside", allow_abbrev=False)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="an exported model")
    parser.add_argument("--dtype", choices=("bfloat16", "float32", "int16"), default="bfloat16")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    manifest = Manifest.read(options.folder)
    loaded = session(options.folder, manifest, options.dtype)
    ids = np.random.default_rng(7).integers(5, manifest.vocabulary_size, (16, 128))
    every = {
        (rows, length): Timed(
            loaded,
            collate([TokenizedInput(row[:length]) for row in ids[:rows]], manifest.padding),
        )
        for rows, length in SHAPES
    }
    with ThreadPoolExecutor(2) as pool:
        for _ in range(options.rounds):
            for timed in every.values():
                timed.round(pool)
    print(f"| {options.dtype} | alone, least | median | beside, least | median |")  # noqa: T201
    print("|---" * 5 + "|")  # noqa: T201
    for (rows, length), timed in every.items():
        print(f"| {rows}×{length} |", *(f"{one:.2f} |" for one in timed.figures()))  # noqa: T201


if __name__ == "__main__":
    main()
