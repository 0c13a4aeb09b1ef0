"""Infinity, another server of embeddings, beside ours: in an environment of its own."""

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from tools.bench.load import Dialect, get
from tools.process import end, eventually, free_port, start

THEIRS = Dialect("/embeddings", "input")
START_SECONDS = 300


class Infinity:
    """`infinity_emb v2` on a free port, with its torch engine.

    Its engine for ONNX loads no local folder.
    """

    def __init__(self, python: Path, checkpoint: Path, scratch: str) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.process = start(
            [
                str(python), "-m", "infinity_emb.cli", "v2",
                "--model-id", str(checkpoint), "--engine", "torch", "--device", "cpu",
                "--host", "127.0.0.1", "--port", str(port), "--log-level", "error",
            ],
            env={
                **environment,
                "HF_HUB_OFFLINE": "1",
                "INFINITY_ANONYMOUS_USAGE_STATS": "0",
                "INFINITY_VECTOR_DISK_CACHE": "false",
            },
            cwd=scratch,  # where it leaves an empty folder
            stdout=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip

    def wait_ready(self) -> None:
        """Return when it answers."""

        def answers() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError("infinity does not start; what it printed says why")
            with contextlib.suppress(URLError):
                return bool(get(self, "/health"))
            return False

        eventually(answers, START_SECONDS, "infinity does not answer", pause=0.1)


@contextmanager
def infinity(python: Path, checkpoint: Path) -> Iterator[Infinity]:
    """Start infinity, which ends with the block."""
    with tempfile.TemporaryDirectory() as scratch:
        server = Infinity(python.absolute(), checkpoint.absolute(), scratch)
        try:
            server.wait_ready()
            yield server
        finally:
            end(server.process)


def missing(python: Path) -> str | None:
    """Return the reason why that Python cannot run infinity, or None."""
    try:
        version(python)
    except (OSError, subprocess.CalledProcessError):
        return f"{python} has no infinity: pip install 'infinity-emb[server,torch,optimum]' there"
    return None


def version(python: Path) -> str:
    """Return the version of infinity in that Python's environment."""
    program = "from importlib.metadata import version; print(version('infinity_emb'))"
    return subprocess.run(
        [python, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()
