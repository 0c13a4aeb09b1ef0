"""Servers with a fault in them, started to fail within seconds."""

from collections.abc import Callable

from tools.process import Server

IMPATIENT = {"RUN_TIMEOUT_SECONDS": "0.5", "TOKENIZATION_WORKERS": "1"}  # unless a test says more
START = Callable[..., Server]


def post(server: Server, text: str) -> tuple[int, str]:
    reply = server.post("/embed", {"inputs": text})
    return reply.status, reply.text
