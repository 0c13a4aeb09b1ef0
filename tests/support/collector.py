"""A collector of traces: the OTLP service over gRPC, on the loopback interface."""

import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as messages
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as service
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True, slots=True)
class Received:
    """One span, and the resource that it came from."""

    span: Span
    resource: dict[str, str]

    @property
    def attributes(self) -> dict[str, str]:
        return {one.key: one.value.string_value for one in self.span.attributes}


class Collector(service.TraceServiceServicer):
    """A collector that keeps its spans in order."""

    def __init__(self) -> None:
        self.received: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self.port = 0

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802  # gRPC's name
        del context
        for part in request.resource_spans:
            resource = {one.key: one.value.string_value for one in part.resource.attributes}
            for scope in part.scope_spans:
                for span in scope.spans:
                    self.received.put(Received(span, resource))
        return messages.ExportTraceServiceResponse()

    def spans(self) -> list[Received]:
        """Return the spans so far."""
        return [self.received.get() for _ in range(self.received.qsize())]


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector on a free port."""
    collector = Collector()
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        service.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]  # generated
        collector.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield collector
        finally:
            server.stop(None).wait()
