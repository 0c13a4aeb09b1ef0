"""Jobs: delivery of outcomes to the event loops that wait for them."""

import asyncio
import logging

import numpy as np
import pytest

from app.errors import BackendFailed, ServiceError
from app.inference.batching.job import Completion, Job, deliver
from app.model.batch import TokenizedInput
from app.model.names import SENTENCE_EMBEDDING

INPUT = TokenizedInput(np.array([1]))


def job(loop: asyncio.AbstractEventLoop, done: Completion, inputs: int = 1) -> Job:
    return Job([INPUT] * inputs, (SENTENCE_EMBEDDING,), loop, done)


def test_each_job_hears_of_its_own_outcome_on_its_loop() -> None:
    heard: list[tuple[str, ServiceError | None]] = []
    failed = BackendFailed("Backend error: no")

    async def wait() -> None:
        loop = asyncio.get_running_loop()
        both = asyncio.Event()

        def last(error: ServiceError | None) -> None:
            heard.append(("two", error))
            both.set()

        one = job(loop, lambda error: heard.append(("one", error)))
        await asyncio.to_thread(deliver, [(one, None), (job(loop, last), failed)])
        await both.wait()

    asyncio.run(wait())
    assert heard == [("one", None), ("two", failed)]


def test_a_closed_loop_costs_its_answers_and_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    with caplog.at_level(logging.WARNING):
        deliver([(job(loop, lambda _: pytest.fail("the loop is closed")), None)])
    assert [one.getMessage() for one in caplog.records] == [
        "1 answers could not be delivered: their event loop is closed"
    ]


@pytest.mark.parametrize(("inputs", "is_single_input"), [(1, True), (2, False)])
def test_a_job_of_one_input_is_lone(inputs: int, is_single_input: bool) -> None:
    loop = asyncio.new_event_loop()
    assert job(loop, lambda _: None, inputs).is_single_input == is_single_input
    loop.close()
