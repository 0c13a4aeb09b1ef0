"""Rows in flight: which requests may wait for them, and what becomes of those that do."""

import asyncio

import numpy as np

from app.inference.reuse.in_flight import InFlight

ROW = np.array([1.0], np.float32)
A, B, C, D = b"a", b"b", b"c", b"d"


def test_a_request_waits_for_no_more_rows_than_it_would_compute() -> None:
    flights = InFlight()
    bulk = flights.start([A, B, C])
    assert flights.of([A, D]) == {}
    assert flights.of([A, D, C]) == {A: bulk, C: bulk}
    query = flights.start([A])
    assert flights.of([A]) == {A: query}
    assert flights.of([A, B, D]) == {A: query, B: bulk}
    flights.start([A, B])
    assert flights.of([A, D]) == {A: query}  # of several, the one with the fewest rows
    flights.end(query, {})
    assert flights.of([A, C, D]) == {C: bulk}


def test_ended_rows_are_no_longer_in_flight() -> None:
    flights = InFlight()
    first, second = flights.start([A, B]), flights.start([B])
    flights.end(first, {})
    assert flights.of([A, B]) == {B: second}
    flights.end(second, {B: ROW})
    assert flights.of([A, B]) == {}


def test_all_waiting_requests_are_answered_and_one_that_leaves_delays_no_other() -> None:
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
        assert await flight.row(A) is ROW  # also for later ones

    asyncio.run(scenario())
