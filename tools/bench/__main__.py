"""`make bench`: the server beside the bare session and its peers, in one run.

All subjects run from the beginning to the end and take turns in rounds, since a machine's speed
changes from minute to minute; the first round is a warm-up. No text is asked twice. Servers: ours in
every precision that the machine and the exported folders offer and, where an option names them,
infinity, llama.cpp and a running TEI. Without a server: the bare session, which is the limit of each
of ours, sentence-transformers, and the model compiled by torch. The distance of everyone's vectors
from those of sentence-transformers stands beside the speed.

The loads: short queries over 1, 8 and 32 connections, and at a fixed pace; requests of 32 passages
over 4 connections, and of 8, 64 and 512, where the cost of a text should stay the same; queries at a
fixed rate while bulk requests run (latency counts from when a query was due). Then the cost of a run
by its shape, and the cost of a request around a model that costs next to nothing. For the default
model the report also goes to `docs/performance.md`, with a picture beside it. `make bench-quick`
leaves out what is not needed to see whether a change helped.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from app.model.lookup import repository
from export.source.default_model import DEFAULT_MODEL_ID, installed
from tools.bench.company import Guests, Options
from tools.bench.peers import infinity, llama, tei
from tools.bench.report import PAGE, draw, insert
from tools.bench.run import QUICK_ROUNDS, ROUNDS, Bench

SECONDS, QUICK_SECONDS = 8.0, 4.0  # per load, over all rounds
# Exported models; in the second place, with an int8 graph beside the float32 one.
MODELS = (Path("models"), Path(".bench-models"))


def main(arguments: Sequence[str]) -> int:
    """Measure one exported model; return the exit code."""
    asked = _parser().parse_args(arguments)
    folders = [repository.find(asked.model_id, None, models) for models in MODELS]
    fault = _fault(asked, folders[0])
    if fault is not None:
        sys.stderr.write(f"error: {fault}\n")
        return 1
    seconds = asked.seconds or (QUICK_SECONDS if asked.quick else SECONDS)
    options = Options(
        asked.model_id,
        [folder for folder in folders if folder is not None],
        installed() if asked.model_id == DEFAULT_MODEL_ID else None,
        Guests(asked.infinity, asked.llama, asked.tei),
        max(1.0, seconds / (QUICK_ROUNDS if asked.quick else ROUNDS)),
        asked.quick,
    )
    bench, lines = Bench(options), []
    try:
        for line in bench.report():
            print(line, flush=True)  # the program's output
            lines.append(line)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if options.original is not None and not asked.quick:
        picture = asked.page.with_name("bench")
        draw(bench.subjects, bench.title(), picture)
        insert(asked.page, [*lines, f"\n![Texts a CPU-second, side by side]({picture.name}.svg)"])
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bench", allow_abbrev=False)
    parser.add_argument("model_id", metavar="MODEL_ID")
    parser.add_argument("--quick", action="store_true", help="only our server, for a minute or two")
    parser.add_argument("--seconds", type=float, help="of each load over all rounds")
    parser.add_argument(
        "--page", type=Path, default=PAGE, help="where the report of the default goes"
    )
    parser.add_argument("--infinity", type=Path, help="the Python of an environment that has it")
    parser.add_argument("--llama", type=Path, help="llama.cpp's llama-server")
    parser.add_argument("--tei", help="the address of a running TEI that serves the model")
    return parser


def _fault(asked: argparse.Namespace, folder: Path | None) -> str | None:
    """Return the reason why the bench cannot begin, or None."""
    if folder is None:
        return f"{asked.model_id} is not exported: make export MODEL_ID={asked.model_id}"
    if (asked.infinity or asked.llama or asked.tei) and asked.model_id != DEFAULT_MODEL_ID:
        return f"peers are measured with the checkpoint of {DEFAULT_MODEL_ID} only"
    if asked.infinity is not None and (fault := infinity.missing(asked.infinity)) is not None:
        return fault
    if asked.llama is not None and (fault := llama.missing(asked.llama)) is not None:
        return fault
    if asked.tei is None:
        return None
    try:
        return tei.other_model(tei.Tei(asked.tei).info(), asked.model_id)
    except ValueError as error:
        return str(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
