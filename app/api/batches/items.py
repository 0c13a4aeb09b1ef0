"""Items: the requests of a batch, computed as POST `/v1/embeddings` would, giving way to those."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from functools import partial

import orjson

from app.api.body import reader
from app.api.http.service import Service
from app.api.shapes.model_name import split_side
from app.api.verbs import openai
from app.batches.input_lines import Line
from app.batches.results import Answer
from app.batches.steps import NotNow
from app.errors import (
    BackendFailed,
    ModelMismatch,
    NotFinite,
    ServiceError,
    UnreadableRequest,
)
from app.inference.computing import Progress
from app.inference.served_model import ServedModel

AT_ONCE = 64  # requests in the model at a time: enough to form batches
# The numbers in the answers of a group: those of GROUP_INPUTS vectors of 4096.
# A request alone may have more.
GROUP_ANSWER_BYTES = 1 << 24


class Items:
    """Answers groups of requests."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._verb = openai.Embeddings()

    def knows(self, name: str) -> bool:
        """Check whether a request may name a model so: the only one answers to any name."""
        models = self._service.models
        return not models.are_several or any(map(models.named, (name, split_side(name)[0])))

    async def compute(self, lines: Sequence[Line]) -> list[Answer]:
        """Return answers to the first requests, until there is no more room. Raises: NotNow."""
        group = _Group(lines)
        workers = []
        try:
            for _ in range(min(AT_ONCE, len(lines))):
                workers.append(asyncio.create_task(self._work(group)))
                await asyncio.sleep(0)  # others have a turn before the next one is read
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return [group.answers[place] for place in range(group.end)]

    async def _work(self, group: "_Group") -> None:
        for place, line in group.left:
            with contextlib.suppress(NoRoom):
                group.answers[place] = await self._answer(line.body, partial(group.take, place))
            await asyncio.sleep(0)

    async def _answer(self, body: bytes, take: Callable[[int], None]) -> Answer:
        verb = self._verb
        try:
            request = await reader.in_turns(body, verb.shape, verb.build)
            model = self._service.model_for(request.model)
        except UnreadableRequest as error:
            return Answer(error.status, _refusal(str(error)))
        except ServiceError as error:
            return Answer(error.status, verb.render_error(error))
        try:
            spare = model.giving_way().telling(Progress(measured=take))
            computed = await verb.run(spare, request)
        except NoRoom:
            raise
        except ServiceError as error:
            if _may_be_the_models(error):
                await _require_well(model, error)
            return Answer(error.status, verb.render_error(error))
        content = b"".join(verb.render(model, request, computed))
        return Answer(200, content, sum(computed.token_counts))


class NoRoom(Exception):
    """The answer of a request does not fit beside those of the group; it is computed later."""


class _Group:
    """Requests that are computed together, and their answers."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self.end = len(lines)  # requests for whose answers there is room
        self.left = (pair for pair in enumerate(lines) if pair[0] < self.end)
        self.answers: dict[int, Answer] = {}
        self._taken = 0

    def take(self, place: int, size: int) -> None:
        """Take room for the numbers of an answer, always for the first one. Raises: NoRoom."""
        if place and (place >= self.end or self._taken + size > GROUP_ANSWER_BYTES):
            self.end = min(self.end, place)
            raise NoRoom
        self._taken += size


def _may_be_the_models(error: ServiceError) -> bool:
    """Check whether another request could fail as this one did."""
    return isinstance(error, BackendFailed) and not isinstance(error, (ModelMismatch, NotFinite))


async def _require_well(model: ServedModel, error: ServiceError) -> None:
    """Return if the model computes a plain text, so that the failure is the request's own."""
    try:
        await model.engine.probe()
    except ServiceError:
        raise NotNow(str(error)) from None


def _refusal(message: str) -> bytes:
    nested = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return orjson.dumps({"error": nested})
