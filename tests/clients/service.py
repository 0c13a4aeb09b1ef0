"""The service in a process of its own, asked over plain HTTP."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tools.process import ROOT, end, free_port, start, wait_open

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
# Names of two models in one process.
DENSE, RANKS = "org/dense", "ranks"
_RERANKER = """
import sys
from pathlib import Path
from tools import tiny
tiny.build(Path(sys.argv[1]), "reranker")
"""
# A direct connection, whatever proxy the environment names.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def serve(*models: str, **environment: str) -> Iterator[str]:
    """Yield the URL of a server of models that is ready, with these settings as its environment.

    It computes in float32, where a text has one vector whichever batch a client's way puts it in.
    """
    port = free_port()
    arguments = ["--hostname", "127.0.0.1", "--port", str(port)]
    for model in models or (MODEL,):
        arguments += ["--model-id", model]
    python = os.environ["SERVICE_PYTHON"]
    command = [python, "-m", "app", *arguments]
    server = start(
        command, cwd=ROOT, env={**os.environ, "DTYPE": "float32", **environment}, text=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_open(port, server, 60)
        yield url
        server.terminate()
        assert server.wait(60) == 0
    finally:
        end(server)


def build_reranker(folder: Path) -> None:
    """Export a tiny reranker with the project's own packages; return its folder."""
    command = [os.environ["SERVICE_PYTHON"], "-c", _RERANKER, str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)


def post(url: str, body: Any) -> Any:
    """Return the JSON of the server's answer, with the standard library alone."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - ours
    with _opener.open(request, timeout=60) as answer:
        return json.load(answer)


def post_octets(url: str, body: Any) -> bytes:
    """Return the bytes of the server's answer where bytes are asked for."""
    headers = {"Content-Type": "application/json", "Accept": "application/octet-stream"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - ours
    with _opener.open(request, timeout=60) as answer:
        content: bytes = answer.read()
        return content
