"""Bytes of a connection, and the requests of ordinary clients."""

import contextlib
import http.client
import json
import socket

from tools.process import Server

HEAD = b"Host: x\r\nContent-Type: application/json\r\n"


def embed(connection: http.client.HTTPConnection, text: str = "the cat") -> list[list[float]]:
    body = json.dumps({"inputs": text})
    connection.request("POST", "/embed", body, {"content-type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200
    vectors: list[list[float]] = json.loads(answer.read())
    return vectors


def client(server: Server) -> contextlib.closing[http.client.HTTPConnection]:
    """Open an ordinary client's connection, closed at the end of the block."""
    return contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port))


def read_all(connection: socket.socket) -> bytes:
    """Return everything until the server closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)
