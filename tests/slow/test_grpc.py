"""The gRPC API as users meet it: its page's commands, a client made by protoc, and load."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest

from app.rpc.messages import named
from tests.support.rpc import Client, come, fault
from tools.process import ROOT, Server, free_port
from tools.texts import passages

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs/grpc.md").read_text()
MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


class Running:
    """A server of both APIs."""

    def __init__(self, *flags: str, log: Path | None = None) -> None:
        self.port = free_port()
        flags = ("--model-id", MODEL, "--grpc-port", str(self.port), *flags)
        self.server = Server(*flags, log=log)
        self.server.wait_ready()
        assert self.server.get("/health").status == 200

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    one = Running("--dtype", "float32", log=tmp_path_factory.mktemp("log") / "log")
    yield one
    one.server.stop()


def protoc(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", "--proto_path", f"{ROOT}/app/rpc"]
    subprocess.run(
        [*command, *map(str, arguments), f"{ROOT}/app/rpc/tei.proto"], check=True, timeout=60
    )


def test_the_definition_is_compiled(tmp_path: Path) -> None:
    protoc("--descriptor_set_out", tmp_path / "set")
    assert (tmp_path / "set").read_bytes() == (ROOT / "app/rpc/tei.protoset").read_bytes()


def test_the_page_tells_how_to_call(running: Running, tmp_path: Path) -> None:
    start, compile_it = blocks("sh")
    assert start.split()[:3] == ["python", "-m", "app"]
    assert "--grpc-port 50051" in start
    words = compile_it.replace("app/rpc", str(ROOT / "app/rpc")).split()
    subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, check=True, timeout=60)
    [example] = blocks("python")
    (tmp_path / "example.py").write_text(example.replace("127.0.0.1:50051", running.address))
    command = [sys.executable, "example.py"]
    printed = subprocess.run(
        command, cwd=tmp_path, check=True, timeout=60, capture_output=True, text=True
    ).stdout
    assert printed == "384 numbers of 7 tokens\n3 vectors, in the order of the texts\n"


def test_vectors_of_real_texts_are_those_of_http(running: Running) -> None:
    """Bit for bit where each is computed alone, and almost where a stream's share a batch."""
    found = passages(120, 60)

    async def scenario() -> tuple[list[Any], list[Any]]:
        async with grpc.aio.insecure_channel(running.address) as channel:
            client = Client(channel)
            alone = [await client.ask("Embed", inputs=one, truncate=True) for one in found[:40]]
            messages = ({"inputs": one, "truncate": True} for one in found)
            return alone, await client.stream("EmbedStream", messages)

    alone, streamed = asyncio.run(scenario())
    expected = np.array(
        [running.server.post("/embed", {"inputs": one, "truncate": True}).json[0] for one in found],
        np.float32,
    )
    assert np.array([one.embeddings for one in alone], np.float32).tobytes() == (
        expected[:40].tobytes()
    )
    many = np.array([one.embeddings for one in streamed], np.float32)
    np.testing.assert_allclose(many, expected, atol=2e-6)


def test_an_overload_refuses_calls_and_no_message_of_a_stream(tmp_path: Path) -> None:
    running = Running("--max-concurrent-requests", "8", log=tmp_path / "log")

    async def scenario() -> tuple[list[int], list[Any]]:
        async with grpc.aio.insecure_channel(running.address) as channel:
            client = Client(channel)
            streams = [
                client.stream("EmbedStream", ({"inputs": f"{one} {i}"} for i in range(200)))
                for one in range(4)
            ]
            calls = [client.ask("Embed", inputs=f"call {i}") for i in range(300)]
            answers = await asyncio.gather(*streams)
            return [len(one) for one in answers], await asyncio.gather(
                *calls, return_exceptions=True
            )

    lengths, called = asyncio.run(scenario())
    assert lengths == [200] * 4
    failed = [fault(one) for one in called if isinstance(one, grpc.aio.AioRpcError)]
    assert set(failed) <= {("RESOURCE_EXHAUSTED", "Model is overloaded")}
    assert len(failed) < len(called)
    metrics = running.server.get("/metrics").text
    assert f'status="RESOURCE_EXHAUSTED"}} {len(failed)}' in metrics or not failed
    assert "te_permits_taken 0" in metrics
    running.server.stop()


def test_a_signal_under_load_loses_no_call(tmp_path: Path) -> None:
    """Each is answered, or told to go to another server."""
    running = Running("--drain-seconds", "1", log=tmp_path / "log")
    ended: list[str] = []

    async def calling(client: Client, number: int) -> None:
        while True:
            try:
                await client.ask("Embed", inputs=f"{number} {len(ended)}")
            except grpc.aio.AioRpcError as error:
                ended.append(error.code().name)
                return
            ended.append("OK")

    async def scenario() -> None:
        async with grpc.aio.insecure_channel(running.address) as channel:
            calls = [asyncio.create_task(calling(Client(channel), i)) for i in range(16)]
            await come(lambda: len(ended) >= 200)
            running.server.signal(signal.SIGTERM)
            await asyncio.gather(*calls)

    asyncio.run(asyncio.wait_for(scenario(), 120))
    assert running.server.process.wait(60) == 0
    assert set(ended) == {"OK", "UNAVAILABLE"}
    assert ended.count("UNAVAILABLE") == 16
    log = (tmp_path / "log").read_text()
    assert "lost" not in log
    assert "Traceback" not in log


def test_generated_bytes_never_break_it(running: Running) -> None:
    """A thousand wrong messages on each call, then a right one."""
    random = np.random.default_rng(0)
    right = [named("EmbedRequest")(inputs="the cat", truncate=True).SerializeToString()]

    def wrong() -> bytes:
        content = bytearray(right[0] if random.random() < 0.5 else random.bytes(40))
        for _ in range(random.integers(1, 5)):
            content[random.integers(len(content))] = random.integers(256)
        return bytes(content)

    names = ["Embed", "EmbedAll", "PredictPair", "Rerank", "Tokenize", "Decode", "Info", "Predict"]

    async def scenario() -> set[str]:
        codes = set()
        async with grpc.aio.insecure_channel(running.address) as channel:
            client = Client(channel)
            for i in range(8_000):
                try:
                    await client.call(names[i % 8], as_bytes=bytes)(wrong())
                except grpc.aio.AioRpcError as error:
                    code, reason = fault(error)
                    codes.add(f"{code}: {reason}" if code == "INTERNAL" else code)
            await client.ask("Embed", inputs="the cat")
        return codes

    codes = asyncio.run(scenario())
    undecoded = {one for one in codes if one.startswith("INTERNAL: failed to decode Protobuf ")}
    assert codes - undecoded <= {"INVALID_ARGUMENT", "FAILED_PRECONDITION"}
    assert undecoded
