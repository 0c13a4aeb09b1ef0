"""Vertex AI's envelope: POST `/vertex`, several requests in one body.

Follows TEI 1.9.3 router/src/http/server.rs (vertex_compatibility).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from functools import partial
from typing import Any

from app.api.body import reader, tree
from app.api.body.garbage_collection import let_go_beside
from app.api.shapes.fields import ArrayOf, Field, Misfit, Shape, anything
from app.api.shapes.inputs import memory_of
from app.api.verbs.counting import FailureCounted, counted
from app.api.verbs.spans import RequestSpan
from app.api.verbs.verb import Request, Room, Verb
from app.errors import InvalidInput
from app.inference.served_model import ServedModel
from app.telemetry.metrics import Metrics

VERTEX = Shape("VertexRequest", Field("instances", ArrayOf(anything)))

INSTANCE_BYTES = 700  # memory of an instance, without its inputs
RENDERED = 3  # bytes of JSON for each byte of a float32 row

_Planned = tuple[Verb, Request[Any]]  # an instance's verb and its request


async def answer(
    verbs: Sequence[Verb],
    metrics: Metrics,
    model: ServedModel,
    content: bytes,
    span: RequestSpan,
    room: Room,
) -> AsyncGenerator[bytes, None]:
    """Run every instance as the first verb that its fields fit; answer all, or the first error.

    Each counts as a request of its own, but all together take permits as one does: if there are too
    many instances, they run in groups.

    Raises, before anything is run: InvalidInput for an instance that fits none of the verbs;
    Overloaded if too few permits are free.
    """
    planned, size, taken = await reader.in_turns(content, VERTEX, partial(_planned, verbs))
    parts: list[bytes] = []
    with contextlib.ExitStack() as held:
        held.callback(let_go_beside, planned)
        with FailureCounted(metrics):
            room.demand(taken)
            granted = held.enter_context(model.engine.admission.permits.taken(size))
        within = model.within(granted)
        for group in _groups(planned, granted):
            rendered = await asyncio.gather(
                *(_run(within, metrics, one, span, room) for one in group),
                return_exceptions=True,
            )
            faults = [part for part in rendered if isinstance(part, BaseException)]
            parts += [part for part in rendered if isinstance(part, bytes)]
            del rendered
            if faults:
                raise faults.pop(0)
    yield b'{"predictions":[%b]}' % b",".join(parts)


def _groups(planned: Sequence[_Planned], most: int) -> Iterator[list[_Planned]]:
    """Yield instances in order, in groups of at most `most` permits or of one that needs more."""
    group: list[_Planned] = []
    size = 0
    for one in planned:
        weight = _weight(one)
        if group and size + weight > most:
            yield group
            group, size = [], 0
        group.append(one)
        size += weight
    if group:
        yield group


def _weight(planned: _Planned) -> int:
    """Return the permits of an instance; one without an input is work as well."""
    return max(1, len(planned[1].inputs))


def _planned(verbs: Sequence[Verb], values: dict[str, Any]) -> tuple[list[_Planned], int, int]:
    """Return the planned requests, the permits of all together, and the bytes that they take."""
    planned = [_plan(verbs, instance) for instance in values["instances"]]
    taken = sum(INSTANCE_BYTES + memory_of(request.inputs) for _, request in planned)
    return planned, sum(map(_weight, planned)), taken


def _plan(verbs: Sequence[Verb], instance: Any) -> _Planned:
    for verb in verbs[:-1]:
        with contextlib.suppress(Misfit):
            return verb, verb.build(tree.read(instance, verb.shape))
    try:
        return verbs[-1], verbs[-1].build(tree.read(instance, verbs[-1].shape))
    except Misfit as misfit:
        raise InvalidInput(misfit.message) from None


async def _run(
    model: ServedModel, metrics: Metrics, planned: _Planned, span: RequestSpan, room: Room
) -> bytes:
    """Return the rendered answer to an instance, with room for RENDERED times its rows."""
    verb, request = planned
    child = span.child(verb.name)
    computed = await counted(
        model, metrics, verb, request, child, lambda size: room.demand(RENDERED * size)
    )
    return b"".join(verb.render(model, request, computed))
