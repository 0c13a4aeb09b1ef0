"""Servers with an injected fault, and timeouts of less than a second."""

from collections.abc import Callable

from tools.process import Server

IMPATIENT = {"RUN_TIMEOUT_SECONDS": "0.5", "TOKENIZATION_WORKERS": "1"}  # unless a test sets more
START = Callable[..., Server]


def post(server: Server, text: str) -> tuple[int, str]:
    reply = server.post("/embed", {"inputs": text})
    return reply.status, reply.text
