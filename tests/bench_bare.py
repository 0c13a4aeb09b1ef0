"""The bare session of the bench: the same graph in a process that serves nobody."""

import random
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from app.inference.batch import collate, in_order
from app.inference.manifest import SENTENCE_EMBEDDING, Manifest
from app.inference.plan import DtypeChoice, Wanted
from app.inference.session import Session, plans
from app.inference.tokenization import Tokenization
from tests.bench_load import Rate


class Kind(NamedTuple):
    """A precision to serve, and the folder that has it."""

    dtype: DtypeChoice
    folder: Path


def bare(kind: Kind, texts: Sequence[str], seconds: float, *, batched: bool) -> Rate:
    """Tokenize and run in this process, one by one or in batches of like length, on each core."""
    dtype, folder = kind
    manifest = Manifest.read(folder)
    tokenization = Tokenization.load(folder, manifest)
    plan = plans(Wanted(dtype=dtype), manifest.task)[0]
    session = Session.load(folder, manifest, plan)
    limits = plan.limits(manifest.max_input_length, 16384)
    ordered = sorted(texts, key=len) if batched else list(texts)
    lengths = list(map(len, tokenization.encode_now(ordered)))
    most = replace(limits, max_rows=16 if batched else 1)
    groups = [ordered[rows] for rows in in_order(lengths, most)]

    def run(group: Sequence[str]) -> int:
        inputs = tokenization.encode_now(group)
        length = limits.padded(max(map(len, inputs)))
        session.run(collate(inputs, manifest.padding, length), (SENTENCE_EMBEDDING,))
        return len(group)

    def work(first: int) -> int:
        mine, count = cycle(groups[first :: plan.run_threads]), 0
        while time.perf_counter() - started < seconds:
            count += run(next(mine))
        return count

    for group in groups:  # every shape once
        run(group)
    random.Random(3).shuffle(groups)
    started, cpu_started = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(plan.run_threads) as pool:
        count = sum(pool.map(work, range(plan.run_threads)))
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    return Rate(count / wall, count / cpu)
