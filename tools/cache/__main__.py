"""`python -m tools.cache [ROWS]`: memory of the store of rows, and processor time of each step.

Each width is measured in a process of its own: the resident memory that ROWS rows add, beside
the bytes that the store counts; then a store of a tenth of that, in which every row but a few
evicts another. Printed as a table in Markdown.
"""

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from app.inference.reuse.row_keys import RowKeys
from app.inference.reuse.row_store import ENTRY_BYTES, RowStore
from app.model.batch import TokenizedInput

ROWS = 1_000_000
WIDTHS = (1, 384, 1024)
TOKENS = 16
_PAGE = resource.getpagesize()


def main() -> int:
    """Print a line for each width, or measure one if it is named."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    if len(sys.argv) > 2:
        print(measured(rows, int(sys.argv[2])))
        return 0
    print(
        "| width | rows | counted MB | resident MB | key µs | miss µs | put µs | hit µs | put, full µs | longest put, full ms |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for width in WIDTHS:
        command = [sys.executable, "-m", "tools.cache", str(rows), str(width)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    return 0


def measured(rows: int, width: int) -> str:
    """Return the line of one width."""
    keys, row = RowKeys(), np.zeros(width, np.float32)
    tokens = [TokenizedInput(np.arange(place, place + TOKENS)) for place in range(1_000)]
    key_time = _each(len(tokens), lambda place: keys.key(tokens[place], "out", ""))
    digests = np.random.default_rng(1).bytes(16 * rows)
    store = RowStore(2 * rows * (4 * width + ENTRY_BYTES))
    before = _resident()
    put = _each(rows, lambda place: store.put(digests[16 * place : 16 * place + 16], row))
    resident = _resident() - before
    asked = min(rows, 100_000)
    hit = _each(asked, lambda place: store.get(digests[16 * place : 16 * place + 16]))
    miss = _each(asked, lambda place: store.get(digests[16 * place + 8 : 16 * place + 24]))
    full = RowStore(rows // 10 * (4 * width + ENTRY_BYTES))
    replaced = _each(rows, lambda place: full.put(digests[16 * place : 16 * place + 16], row))
    longest = 0.0
    for place in range(rows):
        begun = time.thread_time()
        full.put(digests[16 * place : 16 * place + 16], row)
        longest = max(longest, time.thread_time() - begun)
    cells = [
        f"{width}",
        f"{store.rows:,}",
        f"{store.bytes / 1e6:.0f}",
        f"{resident / 1e6:.0f}",
        *(f"{1e6 * one:.2f}" for one in (key_time, miss, put, hit, replaced)),
        f"{1e3 * longest:.2f}",
    ]
    return f"| {' | '.join(cells)} |"


def _each(count: int, do: Callable[[int], object]) -> float:
    """Return the processor seconds of each call, the loop included."""
    started = time.process_time()
    for place in range(count):
        do(place)
    return (time.process_time() - started) / count


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


if __name__ == "__main__":
    sys.exit(main())
