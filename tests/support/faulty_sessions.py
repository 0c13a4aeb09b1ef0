"""A session that raises, hangs, returns nonsense or kills its thread, depending on a token."""

import asyncio
import ctypes
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from app.errors import DeviceLost, OutOfMemory
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.worker import BatchWorker
from app.model.batch import Batch, BatchLimits
from app.telemetry.metrics import Metrics
from tests.support.steering import PADDING, Outcome, submit

RAISES, EXITS, NOT_FINITE, MISSHAPEN, NOTHING = range(90, 95)
HANGS, KILLS_ITS_THREAD, LOSES_ITS_DEVICE = 95, 96, 97


class FaultySession:
    """A session whose run fails as the name says, where a row has one of the ids above."""

    def __init__(self, memory: int = 100_000) -> None:
        self.memory = memory  # tokens of the largest batch that fits
        self.runs: list[list[int]] = []
        self.is_broken = False  # every run fails
        self.release = threading.Event()  # ends runs that hang

    def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        firsts = batch.input_ids[:, 0].tolist()
        self.runs.append(sorted(firsts))
        if batch.input_ids.size > self.memory:
            raise OutOfMemory("Backend error: Failed to allocate memory")
        if RAISES in firsts or self.is_broken:
            raise RuntimeError("cannot")
        if LOSES_ITS_DEVICE in firsts:
            raise DeviceLost("Backend error: CUDA failure 700: an illegal memory access")
        if EXITS in firsts:
            raise SystemExit(3)
        if HANGS in firsts:
            self.release.wait()
        if KILLS_ITS_THREAD in firsts:
            ctypes.CDLL(None).pthread_exit(None)  # without an exception or `finally`
        if NOTHING in firsts:
            return {}
        values = batch.input_ids[:, :1].astype(np.float32)
        values[values == NOT_FINITE] = np.nan
        return dict.fromkeys(outputs, values[1:] if MISSHAPEN in firsts else values)

    def terminate(self, thread: int) -> None:
        """Do nothing: runs that hang ignore it."""


def together(
    session: FaultySession,
    loop: asyncio.AbstractEventLoop,
    firsts: Sequence[int],
    options: RunOptions | None = None,
) -> tuple[BatchWorker, list[Outcome]]:
    """Return a worker and jobs of one input per id, all of them in its first batch."""
    metrics = Metrics()
    worker = BatchWorker([session], PADDING, BatchLimits(10_000), metrics, options or RunOptions())
    outcomes = [submit(worker, loop, (3, first)) for first in firsts]
    worker.start()
    return worker, outcomes
