"""An alarm rings once its time has come, however often it was postponed."""

import asyncio
import math

import uvloop

from app.wire.alarm import Alarm


def test_it_rings_at_the_time_that_was_set_last() -> None:
    async def ring() -> tuple[float, float]:
        loop, rung = asyncio.get_running_loop(), asyncio.Event()
        alarm = Alarm(rung.set)
        due = loop.time() + 0.05
        for early in (0.01, 0.02):
            alarm.set(loop.time() + early)
        alarm.set(due)
        await rung.wait()
        return due, loop.time()

    due, rang = uvloop.run(ring())
    assert rang >= due


def test_it_may_be_set_to_an_earlier_time() -> None:
    async def ring() -> None:
        rung = asyncio.Event()
        alarm = Alarm(rung.set)
        alarm.set(asyncio.get_running_loop().time() + 10_000)
        alarm.set(asyncio.get_running_loop().time())
        await rung.wait()

    asyncio.run(ring())


def test_it_is_silent_once_it_is_stopped_or_set_to_infinity() -> None:
    async def count() -> int:
        loop, rings = asyncio.get_running_loop(), [0]

        def ring() -> None:
            rings[0] += 1

        stopped, never = Alarm(ring), Alarm(ring)
        for alarm in (stopped, never):
            alarm.set(loop.time() + 0.01)
        stopped.stop()
        never.set(math.inf)
        later = asyncio.Event()
        loop.call_at(loop.time() + 0.05, later.set)
        await later.wait()
        return rings[0]

    assert asyncio.run(count()) == 0
