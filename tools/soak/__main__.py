"""`python -m tools.soak --minutes 60`: load a server for as long, and fail if anything degrades."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from app.model.lookup.repository import find
from app.model.manifest import PROBES_FILE
from app.proof.probes import Probes
from tools.process import ROOT
from tools.soak.plot import draw
from tools.soak.record import Record
from tools.soak.replica import Replica
from tools.soak.run import Soak
from tools.soak.traffic import Traffic

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def main() -> int:
    """Soak, print what was seen, and draw it; return 1 if the server failed."""
    options = _options()
    folder = find(options.model_id, None, ROOT / "models")
    if folder is None:
        sys.exit(f"{options.model_id} is not exported: run make export MODEL_ID={options.model_id}")
    traffic = Traffic(Probes.read(folder / PROBES_FILE), seed=options.seed)
    arguments = (*options.fault, "--model-id", str(folder))
    module = "tools.faulty" if options.fault else "app"
    replicas: list[Replica] = []
    with tempfile.TemporaryDirectory() as logs:
        try:
            for name in ("steady", "restarted"):
                replicas += [Replica(arguments, module, Path(logs) / name)]
            steady, restarted = replicas
            soak = Soak(steady, restarted, traffic, 60 * options.minutes)
            record = asyncio.run(soak.run())
        finally:
            for replica in replicas:
                replica.kill()
    print(_summary(record))
    if options.plot is not None:
        title = f"{options.model_id}: {options.minutes:g} minutes, {len(record.restarts)} restarts"
        draw(record, title, options.plot)
    verdict = record.verdict()
    for line in verdict:
        print(f"FAILED: {line}")
    return 1 if verdict else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long")
    parser.add_argument("--model-id", default=DEFAULT_MODEL, help="an exported embedding model")
    parser.add_argument("--plot", type=Path, help="where to draw, without .png and .svg")
    parser.add_argument("--seed", type=int, default=0, help="of the requests")
    parser.add_argument("--fault", action="append", default=[], help="a fault of tools.faulty")
    return parser.parse_args()


def _summary(record: Record) -> str:
    counts = record.counts()
    first, last = record.samples[0], record.samples[-1]
    largest = max(sample.resident for sample in record.samples)
    return (
        f"{counts.total():,} requests: "
        + ", ".join(f"{count:,} {name}" for name, count in counts.most_common())
        + f"; {len(record.restarts)} restarts; resident {first.resident / 1e6:.0f} MB at first, "
        f"{last.resident / 1e6:.0f} at last, {largest / 1e6:.0f} at most; "
        f"files {record.idle_files} before, {record.left_files} after"
    )


if __name__ == "__main__":
    sys.exit(main())
