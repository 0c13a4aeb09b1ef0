"""OTLP: spans to a collector over gRPC, by OpenTelemetry, which is an extra.

Nothing waits for the collector: spans are queued up to a bound, a thread of OpenTelemetry's sends
them in batches, and failures are logged and their spans lost.
"""

import logging
import threading
import time

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from app.telemetry.tracing import Span, TraceParent

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 2.0


class OtlpTracer:
    """A Tracer; every span is sampled, as in TEI."""

    def __init__(self, endpoint: str, service_name: str) -> None:
        exporter = OTLPSpanExporter(endpoint, insecure=not endpoint.startswith("https://"))
        self._processor = BatchSpanProcessor(exporter)
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create({"service.name": service_name}),
            shutdown_on_exit=False,  # that waits for half a minute if no collector answers
        )
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("embedding-service")

    def record(self, span: Span) -> None:
        end = time.time_ns()
        recorded = self._tracer.start_span(
            span.name,
            None if span.parent is None else _context(span.parent),
            trace.SpanKind.SERVER,
            dict(span.attributes),
            start_time=end - int(span.seconds * 1e9),
        )
        if span.error is not None:
            recorded.set_status(trace.StatusCode.ERROR, span.error)
        recorded.end(end)

    def close(self) -> None:
        # The processor's only limit is half a minute, longer than an orchestrator waits.
        closing = threading.Thread(target=self._processor.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
        if closing.is_alive():
            logger.warning("traces not sent within %g seconds are lost", CLOSE_SECONDS)


def _context(parent: TraceParent) -> Context:
    remote = trace.SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
    )
    return trace.set_span_in_context(trace.NonRecordingSpan(remote))
