"""Traces, received by a real collector from a server in a process of its own."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Kind
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.support.collector import collecting
from tools.process import ROOT, Server, free_port

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def post(server: Server, path: str, body: object, headers: dict[str, str] | None = None) -> int:
    return server.post(path, body, headers).status


def test_each_request_is_one_span_and_all_are_sent_before_the_end(tiny_model: Path) -> None:
    with collecting() as collector:
        endpoint = f"http://127.0.0.1:{collector.port}"
        server = Server("--model-id", str(tiny_model), "--otlp-endpoint", endpoint)
        try:
            server.wait_ready()
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-00", "x-request-id": "mine"}
            assert post(server, "/embed", {"inputs": "the cat"}, headers) == 200
            assert post(server, "/embed", {"inputs": ""}, {"traceparent": "00-0-0-0"}) == 400
            assert post(server, "/tokenize", {"inputs": "the cat"}) == 200
            assert post(server, "/embed", {}) == 422  # it did not reach its handler
            server.signal()
            output = server.output()
        finally:
            server.stop()
        good, bad, tokenize = collector.spans()
    assert server.process.returncode == 0, output
    assert [one.span.name for one in (good, bad, tokenize)] == ["embed", "embed", "tokenize"]
    assert (good.span.trace_id.hex(), good.span.parent_span_id.hex()) == (TRACE, PARENT)
    assert good.attributes["request_id"] == "mine"
    assert set(good.attributes) == {
        "total_time", "tokenization_time", "queue_time", "inference_time", "request_id", "trace_id",
    }  # fmt: skip
    assert good.attributes["total_time"].endswith("s")
    assert good.resource["service.name"] == "text-embeddings-inference.server"
    assert good.span.kind == Kind.SPAN_KIND_SERVER
    assert 0 < good.span.start_time_unix_nano < good.span.end_time_unix_nano
    assert (bad.span.status.code, bad.span.status.message) == (
        Status.STATUS_CODE_ERROR,
        "Input validation error: `inputs` cannot be empty",
    )
    assert bad.span.parent_span_id == b""
    assert bad.span.trace_id not in {good.span.trace_id, tokenize.span.trace_id}


def test_the_service_is_named_as_asked(tiny_model: Path) -> None:
    with collecting() as collector:
        environment = {
            "OTLP_ENDPOINT": f"http://127.0.0.1:{collector.port}",
            "OTLP_SERVICE_NAME": "search",
        }
        server = Server("--model-id", str(tiny_model), environment=environment)
        try:
            server.wait_ready()
            assert post(server, "/embed", {"inputs": "the cat"}) == 200
            server.signal()
            server.output()
        finally:
            server.stop()
        [span] = collector.spans()
    assert span.resource["service.name"] == "search"


@pytest.mark.slow
@pytest.mark.parametrize("listens", [False, True], ids=["no listener", "no answer"])
def test_without_a_collector_requests_are_answered_and_the_end_comes(
    tiny_model: Path, listens: bool
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        if listens:
            silent.listen()
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        server = Server("--model-id", str(tiny_model), "--otlp-endpoint", endpoint)
        try:
            server.wait_ready()
            for _ in range(20):
                assert post(server, "/embed", {"inputs": "the cat"}) == 200
            server.signal()
            output = server.output()
        finally:
            server.stop()
    assert server.process.returncode == 0
    assert "traces not sent within 2 seconds are lost" in output


def test_opentelemetry_is_imported_only_for_a_collector(tiny_model: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from app.application import build; from app.options.settings import Settings; "
        "build(Settings(model_id=sys.argv[1]), Path(sys.argv[1])); "
        "print([name for name in sys.modules if name.startswith(('opentelemetry', 'grpc'))])"
    )
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            program + "; import os; sys.stdout.flush(); os._exit(0)",
            tiny_model,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.splitlines()[-1] == "[]"


def test_a_missing_extra_is_one_line_that_names_it(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "opentelemetry.py").write_text("raise ImportError('no OpenTelemetry here')")
    endpoint = f"http://127.0.0.1:{free_port()}"
    server = Server(
        "--model-id", str(tiny_model), "--otlp-endpoint", endpoint,
        environment={"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    output = server.output()
    assert server.process.returncode == 1
    assert output.splitlines()[-1].endswith(
        "Error: --otlp-endpoint needs the extra otlp, pip install 'embedding-service[otlp]': "
        "no OpenTelemetry here"
    )
    assert "Traceback" not in output
