"""Counting: how requests enter the metrics and the log, once each, whatever their route.

Follows TEI 1.9.3 router/src/http/server.rs and core/src/infer.rs.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any

from app.api.verbs.spans import RequestSpan
from app.api.verbs.verb import Request, Reserve, Room, Verb
from app.errors import ServiceError
from app.inference.computing import Computed, Progress
from app.inference.served_model import ServedModel
from app.inference.tokenizing.inputs_at_fault import OnServiceError
from app.telemetry.metrics import Metrics

SINGLE, BATCH = 'method="single"', 'method="batch"'


async def counted(
    model: ServedModel,
    metrics: Metrics,
    verb: Verb,
    request: Request[Any],
    span: RequestSpan,
    reserve: Reserve,
) -> Computed[Any]:
    """Compute a request that began with its span, and record it once.

    `reserve` makes room for its rows before they are computed. A request that is refused before it
    reaches the model does not count as one to the model, and if the model is of another kind, none
    of its inputs do.
    """
    span.model = model.label
    method = BATCH if request.is_batch else SINGLE
    progress = Progress(
        asked=lambda: metrics.count("te_request_count", method),
        accepted=lambda inputs: metrics.count(f"te_{verb.counted_as}_count", amount=inputs),
        measured=reserve,
    )
    with FailureCounted(metrics):
        computed = await verb.run(model.telling(progress), request)
    succeeded(metrics, verb.counted_as, method, computed, span)
    return computed


def succeeded(
    metrics: Metrics, counted_as: str, method: str, computed: Computed[Any], span: RequestSpan
) -> None:
    """Record a computed answer, and end its span."""
    metrics.count("te_request_success", method)
    seconds = span.seconds()
    _record(metrics, counted_as, computed, seconds)
    span.computed(computed.timings, seconds)


async def failures_counted(
    metrics: Metrics,
    answer: Callable[[ServedModel, bytes, Room], AsyncGenerator[bytes, None]],
    model: ServedModel,
    content: bytes,
    _: RequestSpan,
    room: Room,
) -> AsyncGenerator[bytes, None]:
    """Answer, and count only failures: the tokenizer's routes are not requests to the model."""
    with FailureCounted(metrics):
        async with contextlib.aclosing(answer(model, content, room)) as parts:
            async for part in parts:
                yield part


class FailureCounted(OnServiceError):
    """A block whose failure is counted, once for each input at fault."""

    __slots__ = ("_metrics",)

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def raised(self, error: ServiceError) -> None:
        label = f'err="{error.metric_label}"'
        self._metrics.count("te_request_failure", label, amount=error.inputs)


def _record(metrics: Metrics, counted_as: str, computed: Computed[Any], seconds: float) -> None:
    """Record the durations of the request and of each input, which share the request's means."""
    inputs = len(computed.token_counts)
    durations = {
        "duration": seconds,
        "tokenization_duration": computed.timings.tokenization,
        "queue_duration": computed.timings.queue,
        "inference_duration": computed.timings.inference,
    }
    metrics.count(f"te_{counted_as}_success", amount=inputs)
    metrics.count("te_truncated_inputs", amount=len(computed.truncated))
    for name, value in durations.items():
        metrics.observe(f"te_request_{name}", value)
        metrics.observe(f"te_{counted_as}_{name}", value, inputs)
    for count in computed.token_counts:
        metrics.observe("te_request_input_length", count)
