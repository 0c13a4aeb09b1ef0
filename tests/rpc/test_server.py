"""The server: its port, its shutdown beside HTTP's, and what clients learn of it."""

import asyncio
import gzip
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import grpc.aio
import h2.connection
import h2.events
import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.rpc.answering import MESSAGES_IN_WORK
from app.rpc.bounds import LEAST_MESSAGES
from app.rpc.messages import named
from tests.support import distinct, rpc
from tests.support.held_runs import Held
from tests.support.rpc import METHODS, Client, come, fault
from tools.process import Server, free_port

EMBED = named("EmbedRequest")
EMBED_HEAD = [
    (":method", "POST"),
    (":path", "/tei.v1.Embed/Embed"),
    (":scheme", "http"),
    (":authority", "x"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


class Running:
    """A server in a process of its own, and a channel to its gRPC API."""

    def __init__(self, model: Path, *flags: str) -> None:
        self.port = free_port()
        self.server = Server("--model-id", str(model), "--grpc-port", str(self.port), *flags)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.client = Client(self.channel)

    def embed(self, text: str) -> Any:
        return self.client.call("Embed")(EMBED(inputs=text))

    def wait_ready(self) -> None:
        """Wait until both APIs answer; the port of HTTP listens a moment before."""
        self.server.wait_ready()
        assert self.server.get("/health").status == 200

    def close(self) -> None:
        self.channel.close()
        self.server.stop()


@pytest.fixture(scope="module")
def running(tiny_model: Path) -> Iterator[Running]:
    """A server for tests that only send requests to it."""
    one = Running(tiny_model)
    one.wait_ready()
    yield one
    one.close()


def test_both_apis_answer_with_the_same_vector(running: Running) -> None:
    [expected] = running.server.post("/embed", {"inputs": "the cat"}).json
    found = running.embed("the cat").embeddings
    assert named("TokenEmbedding")(embeddings=expected).embeddings == found


def test_reflection_tells_all_that_a_client_needs(running: Running) -> None:
    found = ProtoReflectionDescriptorDatabase(running.channel)
    services = {"tei.v1.Info", "tei.v1.Embed", "tei.v1.Predict", "tei.v1.Rerank", "tei.v1.Tokenize"}
    others = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert set(found.get_services()) == services | others
    pool = descriptor_pool.DescriptorPool(found)
    methods = {one.name for name in services for one in pool.FindServiceByName(name).methods}
    assert methods == set(METHODS)
    assert {one.name for one in pool.FindServiceByName("grpc.health.v1.Health").methods} >= {
        "Check"
    }
    # A call made from nothing but the reflected definitions.
    embed = pool.FindServiceByName("tei.v1.Embed").FindMethodByName("Embed")
    request, response = map(message_factory.GetMessageClass, (embed.input_type, embed.output_type))
    call = running.channel.unary_unary(
        "/tei.v1.Embed/Embed",
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )
    assert len(call(request(inputs="a")).embeddings) == 16


def test_a_compressed_message_is_refused(running: Running) -> None:
    """Decompressed, it could be a thousand times as large."""
    with pytest.raises(grpc.RpcError) as caught:
        running.client.call("Embed")(EMBED(inputs="a" * 10_000), compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert len(gzip.compress(b"a" * 10_000)) < 100


def test_bytes_that_are_no_grpc_harm_no_client(running: Running) -> None:
    for content in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0" * 100,
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff",
    ):
        with socket.create_connection(("127.0.0.1", running.port), 10) as wire:
            wire.sendall(content)
            wire.shutdown(socket.SHUT_WR)
            while wire.recv(4096):
                pass
    assert running.embed("a").embeddings


def test_a_taken_port_is_said_before_the_model_is_opened(tiny_model: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        number = other.getsockname()[1]
        server = Server("--model-id", str(tiny_model), "--grpc-port", str(number))
        output = server.output()
    assert server.process.returncode == 1
    assert output.splitlines()[-1] == (
        f"Error: cannot listen on 127.0.0.1:{number}: Address already in use; "
        "name another by --grpc-port (GRPC_PORT)"
    )
    assert "loading" not in output


def test_messages_already_read_are_answered_at_the_end_and_idle_streams_end(
    tiny_model: Path,
) -> None:
    running = Running(tiny_model, "--drain-seconds", "1")  # time to read all messages
    running.wait_ready()
    with pytest.raises(grpc.RpcError):  # which the library would print
        running.client.call("Embed")(EMBED(inputs="a"), compression=grpc.Compression.Gzip)
    held_open: SimpleQueue[Any] = SimpleQueue()
    held_open.put(EMBED(inputs="a"))
    idle = running.client.call("EmbedStream")(iter(held_open.get, None))
    assert next(idle).embeddings
    busy = running.client.call("EmbedStream")(
        EMBED(inputs=text) for text in distinct.texts(MESSAGES_IN_WORK)
    )
    answers = [next(busy)]
    running.server.signal()
    with pytest.raises(grpc.RpcError) as ended:
        next(idle)
    held_open.put(None)
    answers += busy  # all of them had been read
    assert len(answers) == MESSAGES_IN_WORK
    output = running.server.output()
    assert running.server.process.returncode == 0, output
    for word in ("Traceback", "lost", "gzip"):
        assert word not in output
    running.close()
    assert ended.value.code() is grpc.StatusCode.UNAVAILABLE
    assert ended.value.details() == "the service is shutting down"


@pytest.mark.parametrize("failure", [None, "the model does not answer"])
def test_calls_that_outlast_the_shutdown_are_cut_off_and_count_as_lost(
    make_service: Callable[..., tuple[Service, ASGIApp]],
    monkeypatch: pytest.MonkeyPatch,
    failure: str | None,
) -> None:
    """After `--shutdown-seconds`, or at once where the process must be replaced."""
    service, _ = make_service(shutdown_seconds=0.1 if failure is None else 100)
    held = Held(monkeypatch)

    async def scenario(client: Client) -> str:
        call = client.call("Embed")(EMBED(inputs="a"))
        await held.begun()
        if failure is None:
            service.lifecycle.end()
        else:
            service.lifecycle.fail(failure)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        held.go_on(100)
        return fault(caught.value)[0]

    assert rpc.run(scenario, service) in {"CANCELLED", "UNAVAILABLE"}
    assert service.lifecycle.in_flight == 1


def test_a_client_that_leaves_at_the_end_is_no_loss(
    make_service: Callable[..., tuple[Service, ASGIApp]], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = make_service()
    held = Held(monkeypatch)

    async def scenario(client: Client) -> None:
        call = client.call("Embed")(EMBED(inputs="a"))
        await held.begun()
        service.lifecycle.end()
        call.cancel()
        await come(lambda: service.lifecycle.in_flight == 0)
        held.go_on(100)

    rpc.run(scenario, service)
    assert service.lifecycle.in_flight == 0


async def sent_but_for_the_last_byte(port: int, calls: int, size: int) -> int:
    """Return how many bytes of the calls' messages a client can send until the first call ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    wire = h2.connection.H2Connection()
    wire.initiate_connection()
    left = {1 + 2 * i: b"\0" + size.to_bytes(4, "big") + b"a" * (size - 1) for i in range(calls)}
    for stream in left:
        wire.send_headers(stream, EMBED_HEAD)
    sent = 0
    ended = False
    while not ended:
        for stream in left:
            while window := min(
                wire.local_flow_control_window(stream),
                wire.max_outbound_frame_size,
                len(left[stream]),
            ):
                wire.send_data(stream, left[stream][:window])
                left[stream] = left[stream][window:]
                sent += window
        writer.write(wire.data_to_send())
        events = wire.receive_data(await reader.read(65_536))
        ended = any(isinstance(event, h2.events.StreamEnded) for event in events)
    writer.close()
    return sent


def test_little_is_held_of_incomplete_messages(
    make_service: Callable[..., tuple[Service, ASGIApp]],
) -> None:
    service, _ = make_service(client_timeout_seconds=2, max_concurrent_bytes=1)
    calls, size, unread = 2 * LEAST_MESSAGES, 1_000_000, 65_535
    sent = rpc.run(lambda one: sent_but_for_the_last_byte(one.port, calls, size), service)
    assert sent <= LEAST_MESSAGES * (size + unread) + (calls - LEAST_MESSAGES) * unread
