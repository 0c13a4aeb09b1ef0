"""A server in a process of its own, as an operator runs it."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`python -m app` on a free port of the loopback interface."""

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        log: Path | None = None,
        module: str = "app",
    ) -> None:
        """What it prints waits in a pipe; where that is more than 1 MiB, name a file: `log`."""
        self.port = port or free_port()
        flags = [*arguments, "--hostname", "127.0.0.1", "--port", str(self.port)]
        with nullcontext(subprocess.PIPE) if log is None else log.open("w") as output:
            self.process = launch(flags, environment or {}, module, output)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self, seconds: float = 60) -> None:
        """Return when the port is open."""
        wait_open(self.port, self.process, seconds)

    def connect(self) -> socket.socket:
        """A fresh connection."""
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def output(self, seconds: float = 30) -> str:
        """Wait for the end; all that was printed."""
        return self.process.communicate(timeout=seconds)[0]

    def stop(self) -> None:
        """End it by force, if it has not ended."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


def wait_open(port: int, process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Return when a process has opened its port."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {process.communicate()[0]}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("the server does not listen")


def launch(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    module: str = "app",
    output: int | IO[str] = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Start `python -m MODULE`, its output and errors in one pipe or file.

    No Hub is asked unless one is named.
    """
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environment},
        stdout=output,
        stderr=subprocess.STDOUT,
        pipesize=1 << 20,
        text=True,
    )
