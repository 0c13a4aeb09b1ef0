"""What a library that is measured in a process of its own answers: vectors, and how fast it is.

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
    """What embeds texts as sentence-transformers does."""

    def encode(self, texts: list[str], *, batch_size: int, show_progress_bar: bool) -> Any: ...


def rate(
    model: Encoder, texts: Sequence[str], rows: int, seconds: float
) -> tuple[int, float, float, float]:
    """Texts, the seconds of wall and of CPU time they took, so many at a call, and its median.

    It begins anew with the texts where there are not enough of them.
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
    """Answer stdin's lines about the model in the folder that the first argument names."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # libraries print what is no answer
    model = load(Path(sys.argv[1]))
    for line in sys.stdin:
        asked = json.loads(line)
        if "vectors" in asked:
            found = model.encode(asked["vectors"], batch_size=1, show_progress_bar=False).tolist()
        else:
            found = rate(model, asked["texts"], asked["rows"], asked["seconds"])
        print(json.dumps(found), file=answers, flush=True)
