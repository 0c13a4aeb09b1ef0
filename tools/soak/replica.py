"""A server under soak: how to start it, probe it, and restart it under load."""

import asyncio
import math
import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from tools.process import Server
from tools.soak.traffic import KEY, MAX_INPUTS

FLAGS = (
    "--api-key", KEY, "--max-concurrent-requests", str(MAX_INPUTS),
    "--max-client-batch-size", str(MAX_INPUTS), "--log-level", "error,app.api.spans=off",
)  # fmt: skip
PAGE = os.sysconf("SC_PAGESIZE")


class Replica:
    """One server on one port, through all its restarts; its log must stay empty."""

    def __init__(self, arguments: Sequence[str], module: str, log: Path) -> None:
        self._arguments = (*arguments, *FLAGS)
        self._module = module
        self._log = log
        self._server = Server(*self._arguments, module=module, log=log)
        self.signalled = math.inf  # time of its last signal, by time.monotonic()
        self.ready = math.inf  # time when its port opened, by the same clock

    @property
    def port(self) -> int:
        """The port, the same after each restart."""
        return self._server.port

    async def wait_ready(self) -> None:
        """Return when the port is open."""
        await asyncio.to_thread(self._server.wait_ready, 120)
        self.ready = time.monotonic()

    async def restart(self) -> list[str]:
        """Restart it as an orchestrator does; return what went wrong."""
        faults = await self.end()
        self._server = Server(
            *self._arguments, module=self._module, log=self._log, port=self._server.port
        )
        await self.wait_ready()
        return faults

    async def end(self) -> list[str]:
        """Send SIGTERM and wait; return what went wrong."""
        self.ready, self.signalled = math.inf, time.monotonic()
        self._server.signal()
        try:
            code = await asyncio.to_thread(self._server.process.wait, 60)
        except subprocess.TimeoutExpired:
            return ["the server did not end"]
        logged = self._log.read_text()
        faults = [f"the server logged: {logged[-2000:]}"] if logged else []
        return faults if code == 0 else [*faults, f"the server ended with code {code}"]

    def kill(self) -> None:
        """Kill it, if it runs."""
        self._server.stop()

    def resident(self) -> int:
        """Bytes of memory."""
        return int(self._proc("statm").read_text().split()[1]) * PAGE

    def files(self) -> int:
        """Return the number of open files."""
        return len(list(self._proc("fd").iterdir()))

    def threads(self) -> int:
        """Return the number of threads."""
        return len(list(self._proc("task").iterdir()))

    def _proc(self, name: str) -> Path:
        return Path(f"/proc/{self._server.process.pid}/{name}")
