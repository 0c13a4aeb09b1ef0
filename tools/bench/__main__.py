"""`make bench`: the server beside the bare session and its peers, in one run.

First, that the vectors agree. Then texts a second of wall and of CPU time: short queries one by
one over 1, 8 and 32 connections, bulk requests of 32 passages over 4, and queries at a fixed rate
while bulk requests run, as a client sees them (latency counts from when a query was due); and
requests of 8, 64 and 512 passages, of which a text should cost the same. The bare session is the
limit: the same graph in this process, fed by a loop in the batches that suit it. It takes turns
with the server, for a machine's speed changes from minute to minute. Peers are
sentence-transformers and, where `--infinity` names the Python of its environment, infinity. The
load comes from `wrk`, which costs next to nothing, or from a few large requests. For the default
model the report also goes to `docs/performance.md`, with a picture beside it. `make bench-quick`
leaves out what is not needed to see whether a change helped.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from app.model.lookup import repository
from export.source.default_model import DEFAULT_MODEL_ID
from tools.bench.infinity import missing
from tools.bench.report import PAGE, draw, insert
from tools.bench.run import MODELS, Bench

PICTURE = PAGE.with_name("bench")


def main(arguments: Sequence[str]) -> int:
    """Measure one exported model; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.bench", allow_abbrev=False)
    parser.add_argument("model_id", metavar="MODEL_ID")
    parser.add_argument("--quick", action="store_true", help="only our server, for a minute")
    parser.add_argument("--infinity", type=Path, help="the Python of an environment that has it")
    options = parser.parse_args(arguments)
    folder = repository.find(options.model_id, None, MODELS)
    fault = None if options.infinity is None else missing(options.infinity)
    if shutil.which("wrk") is None:
        fault = "make bench needs wrk: apt-get install wrk"
    elif folder is None:
        fault = f"{options.model_id} is not exported: make export MODEL_ID={options.model_id}"
    if fault is not None or folder is None:
        sys.stderr.write(f"error: {fault}\n")
        return 1
    bench, lines = Bench(options.model_id, folder, options.quick), []
    for line in bench.report(options.infinity):
        print(line, flush=True)  # what it is for
        lines.append(line)
    if options.model_id == DEFAULT_MODEL_ID and not options.quick:
        draw(bench.rows, lines[0].strip(), PICTURE)
        insert(PAGE, [*lines, f"\n![Texts a CPU-second, side by side]({PICTURE.name}.svg)"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
