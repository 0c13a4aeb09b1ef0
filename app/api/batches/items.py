"""Items: the requests of a batch, computed as POST `/v1/embeddings` would, giving way to those."""

import asyncio
from collections.abc import Iterator, Sequence

import orjson

from app.api.body import reader
from app.api.http.service import Service
from app.api.shapes.model_name import split_side
from app.api.verbs import openai
from app.batches.input_lines import Line
from app.batches.results import Answer
from app.batches.steps import NotNow
from app.errors import BackendFailed, ModelMismatch, NotFinite, ServiceError, UnreadableRequest
from app.inference.served_model import ServedModel

AT_ONCE = 64  # requests in the model: enough to make batches of


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
        """Return the answer to each request. Raises: NotNow."""
        answers: dict[int, Answer] = {}
        left = iter(enumerate(lines))
        workers = []
        try:
            for _ in range(min(AT_ONCE, len(lines))):
                workers.append(asyncio.create_task(self._work(left, answers)))
                await asyncio.sleep(0)  # others have a turn before the next one is read
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        return [answers[place] for place in range(len(lines))]

    async def _work(self, left: Iterator[tuple[int, Line]], answers: dict[int, Answer]) -> None:
        for place, line in left:
            answers[place] = await self._answer(line.body)
            await asyncio.sleep(0)

    async def _answer(self, body: bytes) -> Answer:
        verb = self._verb
        try:
            request = await reader.in_turns(body, verb.shape, verb.build)
            model = self._service.model_for(request.model)
        except UnreadableRequest as error:
            return Answer(error.status, _refusal(str(error)))
        except ServiceError as error:
            return Answer(error.status, verb.render_error(error))
        try:
            computed = await verb.run(model.giving_way(), request)
        except ServiceError as error:
            if _may_be_the_models(error):
                await _require_well(model, error)
            return Answer(error.status, verb.render_error(error))
        content = b"".join(verb.render(model, request, computed))
        return Answer(200, content, sum(computed.token_counts))


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
