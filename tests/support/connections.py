"""Requests as bytes, and what comes back for them."""

import contextlib
import socket
from collections.abc import Callable

from tools.process import Server

HEAD = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
LARGE = b"x" * 20_000_000  # more than the kernel takes from a client that nobody reads
START = Callable[..., Server]


def read_all(connection: socket.socket) -> bytes:
    """Everything until the server closes or cuts the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def send_and_read(connection: socket.socket, content: bytes) -> bytes:
    """What comes back to a client that looks for it only when it has sent everything."""
    connection.settimeout(20)
    connection.sendall(content)
    return read_all(connection)


def status_of(connection: socket.socket) -> bytes:
    connection.sendall(GET)
    return connection.recv(65536)[9:12]
