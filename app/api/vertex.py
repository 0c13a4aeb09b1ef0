"""Vertex AI's envelope: POST `/vertex`, several requests in one body.

Follows TEI 1.9.3 router/src/http/server.rs (vertex_compatibility).
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
from functools import partial
from typing import Any

from app.api import body, tree
from app.api.counting import counted, failure_counted
from app.api.fields import ArrayOf, Field, Misfit, Shape, anything
from app.api.spans import RequestSpan
from app.api.transport import Reserve
from app.api.verb import Request, Verb
from app.errors import InvalidInput
from app.inference.engine import Engine
from app.metrics import Metrics

VERTEX = Shape("VertexRequest", Field("instances", ArrayOf(anything)))

_Planned = tuple[Verb, Request[Any]]  # what an instance asks for


async def answer(
    verbs: Sequence[Verb],
    metrics: Metrics,
    engine: Engine,
    content: bytes,
    span: RequestSpan,
    _: Reserve,
) -> AsyncGenerator[bytes, None]:
    """Run every instance as the first of the verbs that its fields fit; all, or the first error.

    Each is counted as a request of its own, but all together take permits as one does: where they
    are too many, they run in groups.

    Raises, before anything is run: InvalidInput for an instance that fits none of the verbs;
    Overloaded where too few permits are free.
    """
    planned = await body.in_turns(content, VERTEX, partial(_planned, verbs))
    size = sum(map(_weight, planned))
    parts: list[bytes] = []
    with contextlib.ExitStack() as held:
        with failure_counted(metrics):
            granted = held.enter_context(engine.admission.permits.taken(size))
        within = engine.within(granted)
        for group in _groups(planned, granted):
            rendered = await asyncio.gather(
                *(_run(within, metrics, verb, request, span) for verb, request in group),
                return_exceptions=True,
            )
            for part in rendered:
                if isinstance(part, BaseException):
                    raise part
                parts.append(part)
    yield b'{"predictions":[%b]}' % b",".join(parts)


def _groups(planned: Sequence[_Planned], most: int) -> Iterator[list[_Planned]]:
    """Instances as they come, in groups of at most so many permits; one may need more by itself."""
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
    """The permits of an instance; one without an input is work as well."""
    return max(1, len(planned[1].inputs))


def _planned(verbs: Sequence[Verb], values: dict[str, Any]) -> list[_Planned]:
    return [_plan(verbs, instance) for instance in values["instances"]]


def _plan(verbs: Sequence[Verb], instance: Any) -> _Planned:
    for verb in verbs[:-1]:
        with contextlib.suppress(Misfit):
            return verb, verb.build(tree.read(instance, verb.shape))
    try:
        return verbs[-1], verbs[-1].build(tree.read(instance, verbs[-1].shape))
    except Misfit as misfit:
        raise InvalidInput(misfit.message) from None


async def _run(
    engine: Engine, metrics: Metrics, verb: Verb, request: Request[Any], span: RequestSpan
) -> bytes:
    computed = await counted(engine, metrics, verb, request, span.child(verb.name))
    return b"".join(verb.render(request, computed))
