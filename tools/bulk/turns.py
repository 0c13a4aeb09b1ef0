"""Turns: a job and the bare session alternate, since a machine's speed changes."""

import math
import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from typing import Any

from tools.bench.bare import Bare, Group
from tools.bench.rate import Rate, together

JOB_SECONDS, BARE_SECONDS = 10.0, 4.0  # per turn
_GROUPS = 2_000  # available in each turn, more than are computed


@dataclass
class Watched:
    """A job that took turns with the bare session."""

    bare: list[Rate] = field(default_factory=list)  # one for each turn
    megabytes: list[float] = field(default_factory=list)  # the job's memory at the end of each turn
    cpu_seconds: float = 0.0  # of the whole job


def in_turns(
    job: "Popen[Any]", bare: Bare, groups: Sequence[Group], minutes: float = math.inf
) -> Watched:
    """Run a job to its end, and pause it now and then for the bare session.

    After `minutes` it gets SIGTERM and writes what it has computed. Raises: RuntimeError
    if it fails.
    """
    watched, choose, before = Watched(), random.Random(1), _cpu_of_children()
    end = time.monotonic() + 60 * minutes
    while not _has_ended(job, JOB_SECONDS):
        watched.megabytes.append(resident_megabytes(job.pid))
        if time.monotonic() >= end:
            job.send_signal(signal.SIGTERM)
            job.wait()
            break
        job.send_signal(signal.SIGSTOP)
        try:
            turn = choose.sample(groups, min(len(groups), _GROUPS))
            watched.bare.append(bare.rate(turn, BARE_SECONDS, bare.callers))
        finally:
            job.send_signal(signal.SIGCONT)
    if job.returncode not in {0, 128 + signal.SIGTERM}:
        raise RuntimeError(f"the job ended with code {job.returncode}")
    watched.cpu_seconds = _cpu_of_children() - before
    return watched


def rate_of(watched: Watched) -> Rate:
    """Return the rate of the bare session over all of its turns."""
    return together(watched.bare)


def resident_megabytes(pid: int) -> float:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _has_ended(job: "Popen[Any]", seconds: float) -> bool:
    try:
        job.wait(seconds)
    except TimeoutExpired:
        return False
    return True


def _cpu_of_children() -> float:
    """User and system time of the children that have ended."""
    times = os.times()
    return times.children_user + times.children_system
