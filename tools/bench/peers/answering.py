"""The protocol of a library that is measured in a process of its own: vectors and rates.

It reads a line of JSON from stdin for each answer, `{"vectors": [text, …]}` or
`{"texts": [text, …], "rows": N, "seconds": S}`, and prints a line: the vectors, or how many texts
were embedded, the seconds of wall and of CPU time that they took, and the median of a call.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol


class Encoder(Protocol):
    """An encoder with the interface of sentence-transformers."""

    def encode(self, texts: list[str], *, batch_size: int, show_progress_bar: bool) -> Any: ...


def rate(
    model: Encoder, texts: Sequence[str], rows: int, seconds: float
) -> tuple[int, float, float, float]:
    """Encode texts in calls of a given size; return texts, wall and CPU time, and the median call.

    It starts over when it runs out of texts.
    """
    place, taken, count = 0, [], 0
    started, cpu_started = time.perf_counter(), time.process_time()
    while (begun := time.perf_counter()) - started < seconds:
        group = list(texts[place : place + rows])
        model.encode(group, batch_size=rows, show_progress_bar=False)
        taken.append(time.perf_counter() - begun)
        count += len(group)
        place = place + rows if place + 2 * rows <= len(texts) else 0
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    return count, wall, cpu, statistics.median(taken)


def answer(load: Callable[[Path], Encoder]) -> None:
    """Answer the lines of stdin with the model in the folder of the first argument."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print lines of their own
    model = load(Path(sys.argv[1]))
    for line in sys.stdin:
        asked = json.loads(line)
        if "vectors" in asked:
            found = model.encode(asked["vectors"], batch_size=1, show_progress_bar=False).tolist()
        else:
            found = rate(model, asked["texts"], asked["rows"], asked["seconds"])
        print(json.dumps(found), file=answers, flush=True)
