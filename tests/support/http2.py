"""A client for HTTP/2 without TLS, with prior knowledge."""

import json
from collections.abc import Callable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes, Settings

from tools.process import Server

HEAD = {
    b"method": b"POST",
    b"path": b"/embed",
    b"scheme": b"http",
    b"authority": b"x",
    b"content-type": b"application/json",
}
PLAIN = {b"content-type", b"authorization"}


class Client:
    """One connection, which grants each answer a flow-control window."""

    def __init__(self, server: Server, window: int = 65_535) -> None:
        self.socket = server.connect()
        self.protocol = H2Connection(
            H2Configuration(client_side=True, header_encoding=None, validate_outbound_headers=False)
        )
        self.protocol.local_settings = Settings(
            client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self.protocol.initiate_connection()
        self.send()
        self._seen: list[Event] = []

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self) -> None:
        """Send the bytes that the protocol has ready."""
        self.socket.sendall(self.protocol.data_to_send())

    def open(self, **changes: bytes) -> int:
        """Begin a request for a vector, whose body may follow; return its stream."""
        stream = self.protocol.get_next_available_stream_id()
        head = HEAD | {name.replace("_", "-").encode(): value for name, value in changes.items()}
        plain = {name: head.pop(name) for name in PLAIN & set(head)}
        pseudo = {b":" + name: value for name, value in head.items()}
        self.protocol.send_headers(stream, [*pseudo.items(), *plain.items()])
        self.send()
        return stream

    def end(self, stream: int, body: bytes) -> None:
        """Send the rest of a body."""
        self.protocol.send_data(stream, body, end_stream=True)
        self.send()

    def post(self, text: str) -> int:
        """Ask for a vector; return the stream of its answer."""
        stream = self.open()
        self.end(stream, json.dumps({"inputs": text}).encode())
        return stream

    def answer(self, stream: int) -> tuple[int, Any]:
        """Wait for a whole answer; return its status and JSON."""
        self.wait(lambda event: isinstance(event, StreamEnded) and event.stream_id == stream)
        [head] = [one for one in self._of(stream) if isinstance(one, ResponseReceived)]
        data = [one.data for one in self._of(stream) if isinstance(one, DataReceived)]
        status = int(dict(head.headers)[b":status"])
        return status, json.loads(b"".join(data)) if status == 200 else None

    def reset(self, stream: int) -> int:
        """Return the error code with which the server resets a stream."""
        found = self.wait(lambda one: isinstance(one, StreamReset) and one.stream_id == stream)
        return int(found.error_code)

    def goodbye(self) -> int:
        """Return the error code with which the server ends the connection."""
        return int(self.wait(lambda one: isinstance(one, ConnectionTerminated)).error_code)

    def wait(self, is_it: Callable[[Event], bool]) -> Any:
        """Wait for the first such event; later ones remain to be found."""
        while True:
            for event in self._seen:
                if is_it(event):
                    return event
            data = self.socket.recv(65_536)
            assert data, "the server closed the connection"
            self._seen += self.protocol.receive_data(data)
            self.send()

    def _of(self, stream: int) -> list[Event]:
        return [one for one in self._seen if getattr(one, "stream_id", None) == stream]
