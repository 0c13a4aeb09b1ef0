"""The service in a process of its own, asked over plain HTTP."""

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_RERANKER = """
import sys
from pathlib import Path
from tests import tiny
tiny.build(Path(sys.argv[1]), "reranker")
"""
# Straight to the server, whatever proxy the environment names.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def serve(model: str = MODEL, **environment: str) -> Iterator[str]:
    """The URL of a server that is ready, with the settings given as its environment."""
    port = _free_port()
    arguments = ["--model-id", model, "--hostname", "127.0.0.1", "--port", str(port)]
    python = os.environ["SERVICE_PYTHON"]
    server = subprocess.Popen(
        [python, "-m", "app", *arguments], cwd=ROOT, env={**os.environ, **environment}
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_ready(server, url)
        yield url
        server.terminate()
        assert server.wait(60) == 0
    finally:
        server.kill()
        server.wait()


def build_reranker(folder: Path) -> None:
    """An exported reranker, tiny, made where the project's own packages are."""
    command = [os.environ["SERVICE_PYTHON"], "-c", _RERANKER, str(folder)]
    subprocess.run(command, cwd=ROOT, check=True)


def post(url: str, body: Any) -> Any:
    """The JSON that the server answers, by the standard library alone."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)  # noqa: S310 - ours
    with _opener.open(request, timeout=60) as answer:
        return json.load(answer)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_ready(server: subprocess.Popen[bytes], url: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.poll() is not None:
            raise AssertionError(f"the server ended with exit code {server.returncode}")
        try:
            _opener.open(f"{url}/health", timeout=5).close()
        except urllib.error.URLError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"the server is not ready after {seconds} seconds")
