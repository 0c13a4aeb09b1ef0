"""A server that gives every request the same answer, and records the texts."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Recorder:
    """Its port, and the texts that it received, in order."""

    process = None

    def __init__(self, status: int) -> None:
        self.status = status
        self.texts: list[str] = []
        self.connections: set[tuple[str, int]] = set()
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                texts = json.loads(body)["inputs"]
                recorder.connections.add(self.client_address)
                recorder.texts += [texts] if isinstance(texts, str) else texts
                content = json.dumps([[1.0]] * (1 if isinstance(texts, str) else len(texts)))
                self.send_response(recorder.status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *_: object) -> None:
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def recording(status: int = 200) -> Iterator[Recorder]:
    """Run a recorder during the block."""
    recorder = Recorder(status)
    thread = threading.Thread(target=recorder.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield recorder
    finally:
        recorder.server.shutdown()
        thread.join()
        recorder.server.server_close()
