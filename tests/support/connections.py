"""Requests as bytes, and the bytes of their answers."""

import contextlib
import socket
from collections.abc import Callable

from tools.process import Server

HEAD = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"x" * 20_000_000  # more than the kernel buffers for a client that is not read from
START = Callable[..., Server]


def read_all(connection: socket.socket) -> bytes:
    """Return everything until the server closes or cuts the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def send_and_read(connection: socket.socket, content: bytes) -> bytes:
    """Send everything, and only then read the answer."""
    connection.settimeout(20)
    connection.sendall(content)
    return read_all(connection)


def status_of(connection: socket.socket) -> bytes:
    connection.sendall(GET)
    return connection.recv(65536)[9:12]
