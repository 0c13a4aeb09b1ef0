"""Vertex AI's envelope: POST `/vertex`, several requests in one body.

Follows TEI 1.9.3 router/src/http/server.rs (vertex_compatibility).
"""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial
from typing import Any

from app.api import body
from app.api.counting import counted, failure_counted
from app.api.fields import ArrayOf, Field, Misfit, Shape, anything, wrong_type
from app.api.spans import RequestSpan
from app.api.verb import Request, Verb
from app.errors import InvalidInput
from app.inference.engine import Engine
from app.metrics import Metrics

VERTEX = Shape("VertexRequest", Field("instances", ArrayOf(anything)))


async def answer(
    verbs: Sequence[Verb], metrics: Metrics, engine: Engine, content: bytes, span: RequestSpan
) -> bytes:
    """Run every instance as the first of the verbs that its fields fit; all, or the first error.

    Each is counted as a request of its own.

    Raises, before anything is run: InvalidInput for an instance that fits none of the verbs;
    Overloaded where there are too few permits for all of them.
    """
    planned = await body.in_turns(content, partial(_planned, verbs))
    with failure_counted(metrics):
        engine.admission.permits.require(sum(len(request.inputs) for _, request in planned))
    rendered = await asyncio.gather(
        *(_run(engine, metrics, verb, request, span) for verb, request in planned),
        return_exceptions=True,
    )
    parts: list[bytes] = []
    for part in rendered:
        if isinstance(part, BaseException):
            raise part
        parts.append(part)
    return b'{"predictions":[%b]}' % b",".join(parts)


def _planned(verbs: Sequence[Verb], content: bytes) -> list[tuple[Verb, Request[Any]]]:
    return [_plan(verbs, instance) for instance in body.read(content, VERTEX)["instances"]]


def _plan(verbs: Sequence[Verb], instance: Any) -> tuple[Verb, Request[Any]]:
    for verb in verbs[:-1]:
        with contextlib.suppress(Misfit):
            return verb, verb.build(_read(verb, instance))
    try:
        return verbs[-1], verbs[-1].build(_read(verbs[-1], instance))
    except Misfit as misfit:
        raise InvalidInput(misfit.message) from None


def _read(verb: Verb, instance: Any) -> dict[str, Any]:
    if type(instance) is not dict:
        raise wrong_type(instance, f"struct {verb.shape.name}")
    return verb.shape.read(instance)


async def _run(
    engine: Engine, metrics: Metrics, verb: Verb, request: Request[Any], span: RequestSpan
) -> bytes:
    computed = await counted(engine, metrics, verb, request, span.child(verb.name))
    return b"".join(verb.render(request, computed))
