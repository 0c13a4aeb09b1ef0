"""Metrics of the process, the model and the limits on requests."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from starlette.types import ASGIApp

from app.api.http.info import info
from app.api.http.service import Service
from tools.asgi import post, request

MakeService = Callable[..., tuple[Service, ASGIApp]]


def series(app: ASGIApp, name: str) -> float:
    found = re.search(rf"^{name} (.+)$", request(app, "GET", "/metrics").text, re.MULTILINE)
    assert found is not None, name
    return float(found[1])


def test_the_process_is_shown_as_the_kernel_sees_it(app: ASGIApp) -> None:
    status = Path("/proc/self/status").read_text()
    resident = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert resident is not None
    shown = series(app, "process_resident_memory_bytes")
    assert 0.5 < shown / (int(resident[1]) * 1024) < 2
    assert series(app, "process_cpu_seconds_total") > 0
    assert series(app, "process_start_time_seconds") > 1_700_000_000
    assert 3 <= series(app, "process_open_fds") <= series(app, "process_max_fds")


def test_an_open_file_is_counted(app: ASGIApp) -> None:
    before = series(app, "process_open_fds")
    one = os.open(os.devnull, os.O_RDONLY)
    try:
        assert series(app, "process_open_fds") == before + 1
    finally:
        os.close(one)


def test_the_model_is_named_with_what_computes_it(make_service: MakeService) -> None:
    service, app = make_service(served_model_name='my "model"')
    text = request(app, "GET", "/metrics").text
    [line] = [line for line in text.splitlines() if line.startswith("te_model_info{")]
    assert line.startswith('te_model_info{model="my \\"model\\"",')
    assert f'fingerprint="{info(service.model)["fingerprint"]}"' in line
    assert 'provider="cpu",dtype="float32"' in line
    assert line.endswith("} 1")


def test_permits_and_bytes_are_shown_while_they_are_held(make_service: MakeService) -> None:
    service, app = make_service(max_concurrent_requests=9, max_concurrent_bytes=3_000_000)
    assert series(app, "te_permits_limit") == 9
    assert series(app, "te_body_bytes_limit") == 3_000_000
    with service.model.engine.admission.permits.taken(4), service.bodies.holding() as share:
        share.take(1000)
        assert series(app, "te_permits_taken") == 4
        assert series(app, "te_body_bytes_held") == 1000
    assert series(app, "te_permits_taken") == series(app, "te_body_bytes_held") == 0


def test_counters_of_failures_begin_at_zero(app: ASGIApp) -> None:
    text = request(app, "GET", "/metrics").text
    found = re.findall(r'^te_request_failure\{err="(\w+)"\} 0$', text, re.MULTILINE)
    assert found == [
        "batch_size", "deadline", "dropped", "inference", "model_type", "not_finite",
        "overloaded", "tokenization", "validation",
    ]  # fmt: skip
    assert series(app, "te_run_timeouts") == 0
    assert series(app, "te_log_lines_dropped_total") == 0


def test_without_fixed_shapes_there_is_no_warm_up_to_count(app: ASGIApp) -> None:
    assert series(app, "te_shapes_learned") == series(app, "te_shapes_wanted") == 0


def test_work_is_shown_while_there_is_any(make_service: MakeService) -> None:
    service, app = make_service(max_client_batch_size=64)
    assert series(app, "te_tokens_in_flight") == series(app, "te_work_waiting_seconds") == 0
    load = service.model.worker.load
    seen: list[tuple[int, float]] = []
    ran = load.ran

    def look(tokens: int, seconds: float, waits: Sequence[float]) -> None:
        ran(tokens, seconds, waits)
        seen.append((load.tokens_in_flight(), load.waiting_seconds()))

    load.ran = look  # type: ignore[method-assign]
    reply = post(app, "/embed", {"inputs": ["hello world"] * 64})
    assert reply.status == 200
    tokens = int(reply.headers["x-compute-tokens"])
    assert seen
    assert all(0 <= in_flight <= tokens and waiting >= 0 for in_flight, waiting in seen)
    assert series(app, "te_tokens_in_flight") == series(app, "te_work_waiting_seconds") == 0
    assert series(app, "te_queue_seconds_p99") > 0
