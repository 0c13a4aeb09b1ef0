"""Metric series: the metrics that a scrape shows from the start, before anything has happened.

Those of the process have the names and units of Prometheus's own client libraries.
"""

import resource
import time
from collections.abc import Iterator
from pathlib import Path

from app import __version__
from app.api.http.service import Service
from app.errors import ServiceError
from app.inference.batching.warm_up import WarmUp
from app.inference.served_model import ServedModel
from app.telemetry import logs, memory
from app.telemetry.load import Load
from app.telemetry.metrics import Metrics, labels

REQUESTS_BY_KEY = "te_api_key_request_count"  # one series for each named key
_STARTED = time.time()


def declare_series(service: Service) -> None:
    """Declare the series of the process, the models, the bounds on requests, and failures."""
    metrics, bodies = service.metrics, service.bodies
    permits = service.model.engine.admission.permits
    _declare_process(metrics)
    for one in dict.fromkeys([metrics, *(one.metrics for one in service.models.each)]):
        _declare_failures(one)
    for name in service.keys.names if service.keys is not None else ():
        metrics.count(REQUESTS_BY_KEY, labels(api_key=name), 0)
    metrics.read("te_log_lines_dropped_total", "counter", logs.dropped)
    for served in service.models.each:
        metrics.read("te_model_info", "gauge", lambda: 1, _described(served))
    metrics.read("te_permits_taken", "gauge", lambda: permits.taken_by_all)
    metrics.read("te_permits_limit", "gauge", lambda: permits.total)
    metrics.read("te_body_bytes_held", "gauge", lambda: bodies.total - bodies.free)
    metrics.read("te_body_bytes_limit", "gauge", lambda: bodies.total)
    for served in service.models.each:
        _declare_shapes(served.metrics, served.worker.warm_up)
        _declare_load(served.metrics, served.worker.load)


def _described(served: ServedModel) -> str:
    """Return the labels that say what is served, and what computes it."""
    return labels(
        model=served.name,
        fingerprint=served.loaded.fingerprint,
        provider=served.loaded.session.provider,
        dtype=served.loaded.session.compute_dtype,
        version=__version__,
    )


def _declare_shapes(metrics: Metrics, warm_up: WarmUp) -> None:
    metrics.read("te_shapes_learned", "gauge", lambda: warm_up.learned)
    metrics.read("te_shapes_wanted", "gauge", lambda: warm_up.wanted)


def _declare_load(metrics: Metrics, load: Load) -> None:
    metrics.read("te_tokens_in_flight", "gauge", load.tokens_in_flight)
    metrics.read("te_work_waiting_seconds", "gauge", load.waiting_seconds)
    metrics.read("te_queue_seconds_p99", "gauge", load.queue_p99)


def _declare_failures(metrics: Metrics) -> None:
    """Begin at 0: Prometheus sees no increase in a series that begins with its first failure."""
    for label in sorted({"dropped", *_metric_labels(ServiceError)}):
        metrics.count("te_request_failure", labels(err=label), 0)
    metrics.count("te_run_timeouts", amount=0)
    metrics.count("te_truncated_inputs", amount=0)


def _metric_labels(error: type[ServiceError]) -> Iterator[str]:
    for one in error.__subclasses__():
        yield one.metric_label
        yield from _metric_labels(one)


def _declare_process(metrics: Metrics) -> None:
    metrics.read("process_start_time_seconds", "gauge", lambda: _STARTED)
    metrics.read("process_cpu_seconds_total", "counter", time.process_time)
    if memory.is_known():  # Linux
        metrics.read("process_resident_memory_bytes", "gauge", memory.resident_bytes)
        metrics.read("process_open_fds", "gauge", _open_files)
        metrics.read("process_max_fds", "gauge", _most_files)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _most_files() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
