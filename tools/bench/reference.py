"""sentence-transformers over the bench's texts, in a process of its own: vectors, and how fast.

Reads `{"folder", "seconds", "check", "queries", "bulk"}` from stdin, all but the first two lists
of texts; prints `{"vectors", "queries", "bulk"}`, the last two as texts, seconds and CPU-seconds.
"""

import json
import sys
import time
from collections.abc import Sequence

from sentence_transformers import SentenceTransformer


def rate(
    model: SentenceTransformer, texts: Sequence[str], rows: int, seconds: float
) -> tuple[int, float, float]:
    """Texts, and the seconds of wall and of CPU time they took, so many at a call."""
    count, place = 0, 0
    started, cpu_started = time.perf_counter(), time.process_time()
    while time.perf_counter() - started < seconds:
        group = list(texts[place : place + rows])
        model.encode(group, batch_size=rows, show_progress_bar=False)
        count += len(group)
        place = place + rows if place + 2 * rows <= len(texts) else 0
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    return count, wall, cpu


def main() -> None:
    """Answer what stdin asks."""
    asked = json.load(sys.stdin)
    model = SentenceTransformer(asked["folder"], device="cpu")
    vectors = model.encode(asked["check"], batch_size=1, show_progress_bar=False)
    found = {
        "vectors": vectors.tolist(),
        "queries": rate(model, asked["queries"], 1, asked["seconds"]),
        "bulk": rate(model, asked["bulk"], 32, asked["seconds"]),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
