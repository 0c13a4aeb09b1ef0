"""llama.cpp's own server over the same weights, in F16 and in Q8_0."""

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError

from app.inference.providers.machine import usable_cores
from tools.bench.load import get
from tools.bench.peers import gguf
from tools.process import end, eventually, free_port, start

START_SECONDS = 120
SLOTS, TOKENS = 4, 512  # texts at a time, and tokens of the longest; as many texts wait


class Llama:
    """`llama-server` on a free port; `program` is that program."""

    def __init__(self, program: Path, model: Path) -> None:
        port, cores = free_port(), str(usable_cores())
        self.url = f"http://127.0.0.1:{port}"
        self.process = start(
            [
                program, "--model", model, "--embedding", "--host", "127.0.0.1",
                "--port", str(port), "--threads", cores, "--threads-batch", cores,
                "--parallel", str(SLOTS), "--ctx-size", str(SLOTS * TOKENS),
                "--batch-size", str(SLOTS * TOKENS), "--ubatch-size", str(SLOTS * TOKENS),
                "--no-cache-prompt", "--cache-ram", "0", "--log-verbosity", "0",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def wait_ready(self) -> None:
        """Return when it answers."""

        def answers() -> bool:
            if self.process.poll() is not None:
                raise RuntimeError("llama-server does not start")
            with contextlib.suppress(URLError):
                return get(self, "/health") == {"status": "ok"}
            return False

        eventually(answers, START_SECONDS, "llama-server does not answer", pause=0.1)


@contextmanager
def llama(program: Path, checkpoint: Path, weights: gguf.Weights) -> Iterator[Llama]:
    """Start llama-server, which ends with the block."""
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch) / f"model.{weights}.gguf"
        gguf.write(checkpoint, model, weights)
        server = Llama(program.absolute(), model)
        try:
            server.wait_ready()
            yield server
        finally:
            end(server.process)


def missing(program: Path) -> str | None:
    """Return the reason why that program is no llama-server, or None."""
    try:
        version(program)
    except (OSError, subprocess.CalledProcessError):
        return f"{program} is no llama-server: docs/performance.md says how to build one"
    return None


def version(program: Path) -> str:
    """Return the version that the program prints."""
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version: (\S+)", told.stdout + told.stderr)
    return found[1] if found else "of no known version"
