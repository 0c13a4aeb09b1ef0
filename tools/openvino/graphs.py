"""Cost of each graph that a folder has for OpenVINO: `python -m tools.openvino.graphs FOLDER`.

Milliseconds of processor time for each run, medians of rounds in turns, on one thread. A run of
the same shape as the one before it comes first, then one whose shape differs.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from app.inference.providers import machine
from app.inference.providers.plan import ProviderRequest
from app.inference.providers.session import Session, plans
from app.model.batch import TokenizedInput, collate
from app.model.manifest import Manifest
from app.model.names import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS, Dtype

SHAPES = ((1, 16), (4, 16), (16, 8), (8, 32), (8, 128))  # rows, tokens of each
SHORT = ((1, 8), (1, 16), (2, 8), (1, 24), (4, 8))  # one after another
RUNS = 4  # of each shape in a row


def sessions(folder: Path, dtype: Dtype) -> dict[str, Session]:
    """Yield a session of each graph, and one with attention apart where the plug-in knows how."""
    manifest = Manifest.read(folder)
    [plan] = plans(ProviderRequest("openvino", dtype, threads=1), manifest.task)
    found = {}
    with _tiles(False):
        found["the first graph"] = Session.load(folder, manifest.yielding(TOKEN_EMBEDDINGS), plan)
        found["the vector's"] = Session.load(folder, manifest, plan)
    with _tiles(True):
        apart = Session.load(folder, manifest, plan)
    return found | ({f"and {', '.join(apart.settings)}": apart} if apart.settings else {})


@contextmanager
def _tiles(there: bool) -> Iterator[None]:
    """Have the provider see a processor with or without AMX."""
    real = machine.multiplies_tiles
    machine.multiplies_tiles = lambda *_: there
    try:
        yield
    finally:
        machine.multiplies_tiles = real


class Timed:
    """One session, and the seconds of its runs."""

    def __init__(self, session: Session, manifest: Manifest) -> None:
        self._session = session
        chance = np.random.default_rng(7)
        ids = chance.integers(5, manifest.vocabulary_size, (16, 128))
        self._batches = {
            (rows, length): collate(
                [TokenizedInput(row[:length]) for row in ids[:rows]], manifest.padding
            )
            for rows, length in {*SHAPES, *SHORT}
        }
        self.same: dict[tuple[int, int], list[float]] = {shape: [] for shape in self._batches}
        self.change: list[float] = []

    def round(self) -> None:
        """Run every shape a few times in a row, then short ones one after another."""
        for shape, taken in self.same.items():
            self._run(shape)
            started = time.process_time()
            for _ in range(RUNS):
                self._run(shape)
            taken.append((time.process_time() - started) / RUNS)
        started = time.process_time()
        for shape in SHORT * RUNS:
            self._run(shape)
        mean = (time.process_time() - started) / (len(SHORT) * RUNS)
        self.change.append(mean - statistics.mean(self.same[shape][-1] for shape in SHORT))

    def figures(self) -> list[float]:
        """Return milliseconds of each of SHAPES, and of a change of shape."""
        return [1e3 * statistics.median(taken) for taken in self._columns()]

    def _columns(self) -> Iterator[list[float]]:
        yield from (self.same[shape] for shape in SHAPES)
        yield self.change

    def _run(self, shape: tuple[int, int]) -> None:
        self._session.run(self._batches[shape], [SENTENCE_EMBEDDING])


def main() -> None:
    """Print a row for each session."""
    parser = argparse.ArgumentParser(prog="python -m tools.openvino.graphs", allow_abbrev=False)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="an exported model")
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    manifest = Manifest.read(options.folder)
    every = {
        name: Timed(session, manifest)
        for name, session in sessions(options.folder, options.dtype).items()
    }
    for _ in range(options.rounds):
        for timed in every.values():
            timed.round()
    print(f"| {options.dtype} |", *(f"{rows}×{length} |" for rows, length in SHAPES), "change |")  # noqa: T201
    print("|---" * (len(SHAPES) + 2) + "|")  # noqa: T201
    for name, timed in every.items():
        print(f"| {name} |", *(f"{figure:.2f} |" for figure in timed.figures()))  # noqa: T201


if __name__ == "__main__":
    main()
