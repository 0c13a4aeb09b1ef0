"""Rows that somebody computes: who may wait for them, and what becomes of those who do."""

import asyncio

import numpy as np

from app.inference.reuse.in_flight import InFlight

ROW = np.array([1.0], np.float32)
A, B, C = b"a", b"b", b"c"


def test_a_request_waits_for_no_more_rows_than_it_would_compute() -> None:
    flights = InFlight()
    bulk = flights.start([A, B, C])
    assert flights.find(A, 2) is None
    assert flights.find(A, 3) is bulk
    query = flights.start([A])
    assert flights.find(A, 1) is query
    assert flights.find(B, 3) is bulk
    flights.start([A, B])
    assert flights.find(A, 9) is query  # of several, the one with the fewest rows
    flights.end(query, {})
    assert flights.find(A, 9) is None
    assert flights.find(C, 9) is bulk


def test_everyone_who_waits_is_told_and_who_leaves_holds_up_nobody() -> None:
    async def scenario() -> None:
        flights = InFlight()
        flight = flights.start([A, B])
        found, missing, gone = (asyncio.create_task(flight.row(key)) for key in (A, B, A))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        flights.end(flight, {A: ROW})
        assert await found is ROW
        assert await missing is None
        assert gone.cancelled()
        assert await flight.row(A) is ROW  # also later

    asyncio.run(scenario())
