"""Python calls per request, by thread, around a model that costs next to nothing.

`python -m tools.calls [CONNECTIONS]`: all connections ask at once, then wait for all answers.
Each resumption of a coroutine counts as a call.
"""

import asyncio
import itertools
import os
import socket
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import uvloop

from app.api.http import endpoints
from app.application import build, create_app
from app.options.settings import Settings
from app.server.serving import serve
from app.telemetry import logs
from app.wire.connections import Connections, ServerConfig
from tools import tiny

ROUNDS, WARM_ROUNDS = 100, 20
WORDS = [word for word in tiny.WORDS if word.isalpha()]
HEAD = (
    b"POST /embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n"
)


class Calls:
    """Counts calls on all threads that start later, and on its own thread while it is on."""

    def __init__(self) -> None:
        self.is_on = False
        self.found: Counter[str] = Counter()  # calls, by thread

    def note(self, frame: FrameType, event: str, argument: Any) -> None:
        del frame, argument
        if self.is_on and event in {"call", "c_call"}:
            kind = "Python" if event == "call" else "built in"
            self.found[f"{threading.current_thread().name}, {kind}"] += 1


def ask(port: int, connections: int, calls: Calls) -> None:
    """Ask in rounds, and count all but the first; runs on a thread that is not counted."""
    sys.setprofile(None)
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    texts = (" ".join(words) for words in itertools.product(WORDS, repeat=6))  # no text repeats
    for place in range(WARM_ROUNDS + ROUNDS):
        calls.is_on = place >= WARM_ROUNDS
        for one in opened:
            body = b'{"inputs":"%b"}' % next(texts).encode()
            one.sendall(HEAD % len(body) + body)
        for one in opened:
            answer = one.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200"), answer
    calls.is_on = False


def count(folder: Path, connections: int) -> Counter[str]:
    """Serve the model of a folder, and return the calls of ROUNDS rounds."""
    calls = Calls()
    threading.setprofile(calls.note)
    # Counting makes requests so slow that their clients would be watched.
    endpoints.SOON_SECONDS = 60.0  # type: ignore[attr-defined]
    flags = ["--model-id", str(folder), "--dtype", "float32", "--port", "0"]
    settings = Settings.read(flags, {})
    logs.configure("warn", json_output=False, spans=False)
    service = build(settings, folder)
    app = create_app(service, settings)

    async def asked(port: int) -> None:
        sys.setprofile(calls.note)
        await asyncio.to_thread(ask, port, connections, calls)
        sys.setprofile(None)

    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
            config = ServerConfig()
            config.client_timeout_seconds = settings.client_timeout_seconds
            config.bind = [f"fd://{os.dup(listening.fileno())}"]
            await serve(app, config, Connections(connections), lambda: asked(port))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
    return calls.found


def main() -> None:
    connections = int(sys.argv[1]) if sys.argv[1:] else 16
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "tiny"
        tiny.build(folder)
        found = count(folder, connections)
    requests = ROUNDS * connections
    for name, calls in found.most_common():
        print(f"{calls / requests:8.1f} {name}")  # noqa: T201
    print(f"{sum(found.values()) / requests:8.1f} in all")  # noqa: T201


if __name__ == "__main__":
    main()
