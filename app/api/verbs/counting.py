"""Counting: how requests enter the metrics and the log, once each, whatever their route.

Follows TEI 1.9.3 router/src/http/server.rs and core/src/infer.rs.
"""

import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any, get_args

from app.api.verbs.spans import RequestSpan
from app.api.verbs.verb import Counted, Request, Reserve, Room, Verb
from app.errors import ServiceError
from app.inference.computing import Computed, Progress
from app.inference.served_model import ServedModel
from app.inference.tokenizing.inputs_at_fault import OnServiceError
from app.telemetry.metrics import Metrics

_PARTS = ("duration", "tokenization_duration", "queue_duration", "inference_duration")
# The histograms of each duration: of requests, and of inputs.
_DURATIONS: Mapping[Counted, Sequence[tuple[str, str]]] = {
    kind: [(f"te_request_{part}", f"te_{kind}_{part}") for part in _PARTS]
    for kind in get_args(Counted)
}
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
    metrics: Metrics, counted_as: Counted, method: str, computed: Computed[Any], span: RequestSpan
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


def _record(metrics: Metrics, counted_as: Counted, computed: Computed[Any], seconds: float) -> None:
    """Record the durations of the request and of each input, which share the request's means."""
    inputs = len(computed.token_counts)
    timings = computed.timings
    durations = (seconds, timings.tokenization, timings.queue, timings.inference)
    metrics.count(f"te_{counted_as}_success", amount=inputs)
    metrics.count("te_truncated_inputs", amount=len(computed.truncated))
    for (of_request, of_input), value in zip(_DURATIONS[counted_as], durations, strict=True):
        metrics.observe(of_request, value)
        metrics.observe(of_input, value, inputs)
    for count in computed.token_counts:
        metrics.observe("te_request_input_length", count)
