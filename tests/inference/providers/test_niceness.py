"""Niceness: threads that compute give way to those that answer."""

import asyncio
import os
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.inference.providers import niceness
from app.inference.providers.plan import Plan
from app.inference.providers.session import Session
from app.model.batch import Batch
from app.model.manifest import Manifest
from tests.support.steering import SteeredSession, make_bench


def niceness_of(thread: int) -> int:
    return os.getpriority(os.PRIO_PROCESS, thread)


def lowered(nice: int) -> int:
    """Return the niceness after lowering the priority; the tests may run niced themselves."""
    return min(19, nice + niceness.NICENESS)


def threads() -> set[int]:
    return {int(entry.name) for entry in Path("/proc/self/task").iterdir()}


def test_a_sessions_threads_give_way_and_the_loading_thread_does_not(tiny_model: Path) -> None:
    mine, before = niceness_of(threading.get_native_id()), threads()
    session = Session.load(tiny_model, Manifest.read(tiny_model), Plan("cpu", "asked", threads=4))
    made = threads() - before
    assert len(made) == 3  # the caller computes as well
    assert {niceness_of(one) for one in made} == {lowered(mine)}
    assert niceness_of(threading.get_native_id()) == mine
    del session


def test_a_run_gives_way(loop: asyncio.AbstractEventLoop) -> None:
    seen: list[int] = []

    class Watched(SteeredSession):
        def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
            seen.append(niceness_of(threading.get_native_id()))
            return dict.fromkeys(outputs, batch.input_ids[:, :1].astype(np.float32))

    bench = make_bench(loop, session=Watched())
    bench.submit((3, 1)).wait()
    assert seen == [lowered(niceness_of(threading.get_native_id()))]
