"""The whole service in its own process: how it starts, what the wire carries, how it ends."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import numpy as np
import pytest

from tools import tiny
from tools.process import ROOT, Server, eventually, free_port, launch, start, variables, wait_open

HEAD = b"Host: x\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[Server]:
    """A server that tests only send requests to."""
    with Server("--model-id", str(tiny_model)) as running:
        running.wait_ready()
        yield running


@pytest.fixture
def own_server(tiny_model: Path) -> Iterator[Server]:
    """A server that the test may end; what it may wait for, it waits for too long."""
    with Server("--model-id", str(tiny_model), "--shutdown-seconds", "300") as running:
        running.wait_ready()
        yield running


def embed(connection: http.client.HTTPConnection, text: str = "the cat") -> list[list[float]]:
    body = json.dumps({"inputs": text})
    connection.request("POST", "/embed", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200
    vectors: list[list[float]] = json.loads(answer.read())
    return vectors


def wait_taken(server: Server) -> None:
    """Return when connections are taken, and not only open in the kernel."""
    with client(server) as connection:
        connection.request("GET", "/livez")
        assert connection.getresponse().status == 200


def client(server: Server) -> contextlib.closing[http.client.HTTPConnection]:
    """A connection of an ordinary client, closed at the end of the block."""
    return contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port))


def read_all(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_answer(connection: socket.socket) -> bytes:
    """One answer with a content-length; the connection stays open."""
    content = b""
    while b"\r\n\r\n" not in content:
        content += connection.recv(65536)
    head, _, body = content.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


# Starting.


def test_a_vector_comes_over_the_wire(server: Server) -> None:
    with client(server) as connection:
        for _ in range(3):  # one connection for all
            vectors = embed(connection)
            expected = tiny.unit(tiny.reference(tiny.ids_of("the cat")))
            np.testing.assert_allclose(vectors, [expected], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "text"),
    [
        (["--port", "x"], {}, 2, "invalid value 'x' for --port"),
        (["--no-such-flag"], {}, 2, "unrecognized argument --no-such-flag"),
        ([], {"MODEL_ID": ""}, 2, "--model-id is required"),
        (["--model-id", "no/such"], {}, 1, "run: make export MODEL_ID=no/such"),
        (
            ["--model-id", "no/such", "--revision", "v2"],
            {},
            1,
            "make export MODEL_ID=no/such REVISION=v2",
        ),
        (["--help"], {}, 0, "--max-client-batch-size"),
        (["--version"], {}, 0, "0."),
    ],
)
def test_what_cannot_start_says_why_and_exits(
    arguments: list[str], environment: dict[str, str], code: int, text: str
) -> None:
    process = launch(arguments, environment)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == code
    assert text in output
    assert "Traceback" not in output


def test_a_damaged_model_exits_with_1_and_names_the_file(tmp_path: Path) -> None:
    tiny.build(tmp_path / "model")
    (tmp_path / "model" / "model.onnx.data").write_bytes(b"")
    failed = Server("--model-id", str(tmp_path / "model"))
    output = failed.output()
    assert failed.process.returncode == 1
    assert "model.onnx.data is not the file that was exported" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("manifest.json", "Permission denied"),
        ("tokenizer.json", "Permission denied"),
        ("model.onnx.data", "Permission denied"),
        ("tokenizer.json", "No such file or directory"),
        ("model.onnx.data", "No such file or directory"),
    ],
)
def test_a_file_that_cannot_be_read_exits_with_1_and_is_named(
    tmp_path: Path, name: str, fault: str
) -> None:
    tiny.build(tmp_path)
    path = tmp_path / name
    path.chmod(0) if fault == "Permission denied" else path.unlink()
    # Root may read everything, unless that right is taken from it.
    plain = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] * (os.geteuid() == 0)
    port = free_port()
    program = [sys.executable, "-m", "app", "--model-id", str(tmp_path), "--port", str(port)]
    ended = subprocess.run([*plain, *program], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: {path} cannot be read: ")
    assert fault in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("log", [["--json-output"], ["--log-level", "off"]])
def test_why_a_start_failed_is_a_line_on_standard_error(log: list[str]) -> None:
    program = [sys.executable, "-m", "app", "--model-id", "./no\nne", *log, "--port", "0"]
    ended = subprocess.run(program, cwd=ROOT, env=variables(), capture_output=True, text=True)
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith(r"Error: --model-id: ./no\nne is not a folder")
    logged = [json.loads(one) for one in ended.stdout.splitlines()]
    assert {one["level"] for one in logged} == ({"INFO"} if "off" not in log else set())


def test_a_wrong_usage_exits_with_2_where_nobody_reads_why() -> None:
    program = [sys.executable, "-m", "app", "--model-id", "m", "--port", "none"]
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as nobody:
        ended = subprocess.run(program, cwd=ROOT, env=variables(), stdout=nobody, stderr=nobody)
    assert ended.returncode == 2


def test_an_occupied_port_exits_with_1(tiny_model: Path, server: Server) -> None:
    second = Server("--model-id", str(tiny_model), port=server.port)
    output = second.output()
    assert second.process.returncode == 1
    [line] = [line for line in output.splitlines() if "INFO" not in line]
    assert line.startswith(f"Error: cannot listen on 127.0.0.1:{server.port}: Address")
    assert "Maximum number of tokens" not in output  # which is the first that loading says


def test_cuda_that_is_not_there_exits_with_1_and_the_remedy(tiny_model: Path) -> None:
    failed = Server("--model-id", str(tiny_model), "--provider", "cuda")
    output = failed.output()
    assert failed.process.returncode == 1
    assert "onnxruntime has no CUDA provider" in output


def test_the_server_needs_no_export_tools(tiny_model: Path, tmp_path: Path) -> None:
    for name in ("torch", "transformers", "optimum", "onnx", "sentence_transformers"):
        (tmp_path / f"{name}.py").write_text("raise ImportError('not in the image')")
    running = Server("--model-id", str(tiny_model), environment={"PYTHONPATH": str(tmp_path)})
    running.wait_ready()
    with client(running) as connection:
        embed(connection)
    running.signal()
    running.output()
    assert running.process.returncode == 0


def test_the_log_has_the_settings_but_no_key(tiny_model: Path) -> None:
    environment = {"API_KEY": "hunter2", "HF_TOKEN": "hunter2", "LOG_LEVEL": "info,tower=debug"}
    running = Server(
        "--model-id", str(tiny_model), "--tokenization-workers", "2", environment=environment
    )
    running.wait_ready()
    wait_taken(running)
    running.signal()
    output = running.output()
    assert "api_key=***" in output
    assert "hunter2" not in output
    lines = (
        f"Maximum number of tokens per request: {tiny.MAX_LENGTH}",
        "Starting 2 tokenization workers",
        "Starting model backend",
        "Warming up model",
        f"Starting HTTP server: 127.0.0.1:{running.port}",
        "Ready",
        "signal received, starting graceful shutdown",
    )
    for line in lines:  # in the words that operators of TEI look for, and in its order
        assert line in output
    places = [output.index(line) for line in lines]
    assert places == sorted(places)


@pytest.mark.parametrize("missing", ["1", "0 1 2", "full disk", "reader"])
def test_a_log_that_nobody_reads_changes_nothing(
    tiny_model: Path, tmp_path: Path, missing: str
) -> None:
    closed = [int(number) for number in missing.split() if number.isdigit()]
    reading, writing = os.pipe()
    os.close(reading)
    errors = tmp_path / "errors"
    port = free_port()

    def close() -> None:
        for number in closed:
            os.close(number)

    with (
        os.fdopen(writing, "w") as no_reader,
        Path("/dev/full").open("w") as full,
        errors.open("w") as err,
    ):
        process = start(
            [sys.executable, "-m", "app", "--model-id", str(tiny_model), "--port", str(port)],
            stdout=full if missing == "full disk" else no_reader,
            stderr=err,
            text=True,
            preexec_fn=close,
        )
    wait_open(port, process)
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        for _ in range(3):
            embed(connection)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert errors.read_text() == ""


def test_a_filter_chooses_what_is_logged(tiny_model: Path) -> None:
    environment = {"LOG_LEVEL": "error,app.server=info"}
    running = Server("--model-id", str(tiny_model), environment=environment)
    running.wait_ready()
    running.signal()
    lines = running.output().splitlines()
    assert lines
    assert all(" INFO app.server: " in line for line in lines)


def test_a_log_level_that_is_none_counts_as_info(tiny_model: Path) -> None:
    running = Server("--model-id", str(tiny_model), environment={"LOG_LEVEL": "loud"})
    running.wait_ready()
    wait_taken(running)
    running.signal()
    output = running.output()
    assert "WARN app.telemetry.logs: the log level 'loud' is no filter; it counts as info" in output
    assert " INFO app.server: Ready" in output


def test_json_logs_are_one_object_a_line(tiny_model: Path) -> None:
    running = Server("--model-id", str(tiny_model), "--json-output")
    running.wait_ready()
    wait_taken(running)
    running.signal()
    events = [json.loads(line) for line in running.output().splitlines()]
    assert {"Ready", "signal received, starting graceful shutdown"} <= {
        e["message"] for e in events
    }


def test_each_computed_request_is_one_line_with_its_timings(tiny_model: Path) -> None:
    running = Server("--model-id", str(tiny_model), "--json-output")
    running.wait_ready()
    with client(running) as connection:
        embed(connection)
        connection.request("POST", "/embed", '{"inputs":""}', {"content-type": "application/json"})
        assert connection.getresponse().status == 400
    running.signal()
    events = [json.loads(line) for line in running.output().splitlines()]
    [success] = [event for event in events if event["message"] == "Success"]
    assert success["span"]["name"] == "embed"
    assert {"total_time", "tokenization_time", "queue_time", "inference_time"} < set(
        success["span"]
    )
    [error] = [event for event in events if event["level"] == "ERROR"]
    assert error["message"] == "Input validation error: `inputs` cannot be empty"


# The wire.


def test_a_slow_body_in_pieces_is_read(server: Server) -> None:
    body = b'{"inputs":"the cat"}'
    with server.connect() as connection:
        connection.sendall(
            b"POST /embed HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for byte in body:
            connection.sendall(b"1\r\n%c\r\n" % byte)
        connection.sendall(b"0\r\n\r\n")
        assert read_answer(connection).startswith(b"HTTP/1.1 200")


def test_expect_100_continue_is_met(server: Server) -> None:
    with server.connect() as connection:
        head = b"Content-Length: 14\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(b"POST /embed HTTP/1.1\r\n" + HEAD + head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(b'{"inputs":"a"}')
        assert read_answer(connection).startswith(b"HTTP/1.1 200")


def test_an_offer_of_h2c_keeps_its_body(server: Server) -> None:
    with server.connect() as connection:
        offer = (
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        )
        length = b"Content-Length: 14\r\n\r\n"
        connection.sendall(b"POST /embed HTTP/1.1\r\n" + HEAD + offer + length + b'{"inputs":"a"}')
        assert read_answer(connection).startswith(b"HTTP/1.1 200")


def test_a_refused_request_leaves_its_connection_open(tiny_model: Path) -> None:
    small = Server("--model-id", str(tiny_model), "--max-client-batch-size", "1")
    try:
        small.wait_ready()
        with client(small) as connection:
            for texts, status in (("[1]", 200), ('["a","b"]', 422), ('"a"', 200)):
                content = f'{{"inputs":{texts}}}'
                connection.request("POST", "/embed", content, {"content-type": "application/json"})
                if status == 200:
                    kept = connection.sock
                answer = connection.getresponse()
                assert (answer.status, connection.sock) == (status, kept)
                answer.read()
    finally:
        small.stop()


@pytest.mark.parametrize(
    "offer",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ],
)
def test_an_upgrade_is_not_taken(server: Server, offer: bytes) -> None:
    with server.connect() as connection:
        for _ in range(2):  # the connection stays what it was
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n")
            answer = read_answer(connection)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"upgrade" not in answer


def test_http_1_0_is_answered_and_closed(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /embed HTTP/1.0\r\n" + HEAD + b"Content-Length: 14\r\n\r\n")
        connection.sendall(b'{"inputs":"a"}')
        assert read_all(connection).startswith(b"HTTP/1.0 200 OK\r\n")


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    one = b"POST /embed HTTP/1.1\r\n" + HEAD + b"Content-Length: 14\r\n\r\n" + b'{"inputs":"a"}'
    last = b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(one + one + last)
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.index(b"HTTP/1.1 404") > answers.rindex(b"HTTP/1.1 200")


def test_answers_carry_the_date_of_their_second_and_no_server(server: Server) -> None:
    dates: set[float] = set()
    with client(server) as connection:
        while len(dates) < 2:  # it moves on
            before = int(time.time())
            connection.request("GET", "/livez")
            response = connection.getresponse()
            response.read()
            date = parsedate_to_datetime(response.headers["date"]).timestamp()
            assert before <= date <= time.time()
            assert "server" not in response.headers
            dates.add(date)


@pytest.mark.parametrize(
    "request_line",
    [b"NONSENSE\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n"],
)
def test_what_is_no_http_is_400_and_closed(server: Server, request_line: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(request_line)
        assert read_all(connection).startswith(b"HTTP/1.1 400")


def test_a_large_upload_that_is_refused_leaves_nothing_behind(server: Server) -> None:
    """Hypercorn keeps such a connection, two tasks and a full buffer, unless the rest is read."""
    descriptors = Path(f"/proc/{server.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        with server.connect() as connection:
            head = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"
            connection.sendall(head)
            for _ in range(40):
                connection.sendall(b"x" * 65536)
            assert connection.recv(65536).startswith(b"HTTP/1.1 415")
    eventually(lambda: len(list(descriptors.iterdir())) <= before)


def test_clients_that_vanish_leave_nothing_behind(server: Server) -> None:
    descriptors = Path(f"/proc/{server.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    request = b"POST /embed HTTP/1.1\r\n" + HEAD + b'Content-Length: 14\r\n\r\n{"inputs":"a"}'
    for cut in range(0, len(request) + 1, 3):
        with server.connect() as connection:
            connection.sendall(request[:cut])
    with client(server) as connection:
        embed(connection)
    eventually(lambda: len(list(descriptors.iterdir())) <= before)


# Ending.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_waits_for_no_connection(own_server: Server, number: int) -> None:
    with own_server.connect(), client(own_server) as kept:
        embed(kept)
        own_server.signal(number)
        own_server.output()
        assert own_server.process.returncode == 0


def test_every_request_in_flight_is_answered(own_server: Server) -> None:
    """200 requests are on their way, each on a connection of its own, when SIGTERM comes."""
    body = json.dumps({"inputs": ["the cat sat on the mat"] * 2}).encode()
    head = b"POST /embed HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
    connections = [own_server.connect() for _ in range(200)]
    for connection in connections:
        connection.sendall(head + body)
    own_server.signal()
    answers = []
    for connection in connections:
        with connection:
            answers.append(read_all(connection))
    output = own_server.output()
    assert own_server.process.returncode == 0, output
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 200
    assert all(b"]]" in answer for answer in answers)


def test_while_it_drains_health_is_red_and_the_port_open(tiny_model: Path) -> None:
    running = Server("--model-id", str(tiny_model), "--drain-seconds", "300")
    running.wait_ready()
    running.signal()
    running.wait_for("starting graceful shutdown")
    with client(running) as connection:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        assert answer.status == 503
        assert answer.getheader("connection") == "close"
    with client(running) as connection:
        assert embed(connection)


def test_a_client_that_never_sends_its_body_cannot_hold_up_the_end(tiny_model: Path) -> None:
    flags = ("--drain-seconds", "0.1", "--shutdown-seconds", "1")
    running = Server("--model-id", str(tiny_model), *flags)
    running.wait_ready()
    with running.connect() as connection:
        head = HEAD + b"Content-Length: 14\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(b"POST /embed HTTP/1.1\r\n" + head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")  # it waits for the body
        running.signal()
        output = running.output()
    assert running.process.returncode == 0  # no request came whole, so none is lost
    assert "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(tiny_model: Path, number: signal.Signals) -> None:
    running = Server("--model-id", str(tiny_model), "--drain-seconds", "300")
    running.wait_ready()
    running.signal(number)
    running.wait_for("starting graceful shutdown")
    running.signal(number)
    assert "second signal" in running.output()
    assert running.process.returncode == 1


@pytest.mark.usefixtures("without_nohup")
def test_a_terminal_that_closes_ends_the_service_and_loses_nothing(tiny_model: Path) -> None:
    running = Server("--model-id", str(tiny_model), "--drain-seconds", "1")
    running.wait_ready()
    with client(running) as connection:
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b""
        running.signal(signal.SIGHUP)
        running.wait_for("starting graceful shutdown")
        running.signal(signal.SIGHUP)  # a shell sends it too, where the kernel has
        embed(connection)
    assert "second signal" not in running.output()
    assert running.process.returncode == 0


def test_what_rotates_logs_changes_nothing_nor_does_a_terminal_under_nohup(
    tiny_model: Path,
) -> None:
    port = free_port()
    command = ["nohup", sys.executable, "-m", "app", "--model-id", str(tiny_model)]
    running = start(
        [*command, "--port", str(port)],
        cwd=ROOT,
        env=variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_open(port, running)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        running.send_signal(number)
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            embed(connection)
    running.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=300)
    assert running.returncode == 0
    assert output.count("Success") == 3


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_during_the_start_ends_the_process(
    tiny_model: Path, number: signal.Signals, code: int
) -> None:
    starting = launch(["--model-id", str(tiny_model), "--port", str(free_port())], {})
    assert starting.stdout is not None
    starting.stdout.readline()  # the settings: the model is loaded next
    for one in (signal.SIGUSR1, signal.SIGUSR2, number):
        starting.send_signal(one)
    starting.communicate(timeout=300)
    assert starting.returncode in {0, code}


def test_many_clients_at_once_get_their_own_vectors(server: Server) -> None:
    texts = [" ".join(tiny.WORDS[4 + (i + k) % 12] for k in range(1 + i % 8)) for i in range(64)]
    found: dict[int, list[float]] = {}

    def ask(place: int) -> None:
        with client(server) as connection:
            for _ in range(5):
                found[place] = embed(connection, texts[place])[0]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, text in enumerate(texts):
        expected = tiny.unit(tiny.reference(tiny.ids_of(text)))
        np.testing.assert_allclose(found[place], expected, atol=1e-6)
