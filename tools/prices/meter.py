"""Meter: the cost of one request to a server, as the kernel counts it."""

import http.client
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tools.overload.clients import post
from tools.process import Server, forget_most_resident, most_resident

if TYPE_CHECKING:
    from socket import socket

LEAST_SECONDS = 0.01  # least processor time measured: shorter requests are repeated
QUIET_SECONDS = 0.2  # period in which an idle server does next to nothing


UNANSWERED = 0  # in place of a status


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a request, and its size in bytes, head included."""

    request: int
    status: int
    cpu: float  # seconds, of all threads
    answer: int  # bytes, without its head
    memory: int  # peak of resident bytes above those before

    @property
    def prices(self) -> Mapping[str, float]:
        """Return each figure that a search may maximize."""
        return {
            CPU_A_BYTE: self.cpu / self.request,
            CPU: self.cpu,
            ANSWER_A_BYTE: self.answer / self.request,
            MEMORY: self.memory,
        }


CPU_A_BYTE, CPU, ANSWER_A_BYTE, MEMORY = "cpu a byte", "cpu", "answer a byte", "memory"


class ServerEnded(Exception):
    """A request ended the server."""


class Meter:
    """A server with all its defaults, and one connection to it: requests come one at a time."""

    def __init__(self, model_id: str, patience: float) -> None:
        """Give a request up after `patience` seconds."""
        self._patience = patience
        self._log = tempfile.TemporaryDirectory()
        self._server = Server("--model-id", model_id, log=Path(self._log.name) / "log")
        self._connection: socket | None = None

    def __enter__(self) -> Self:
        self._server.wait_ready()
        self._server.wait_warm()
        return self

    def __exit__(self, *_: object) -> None:
        self._hang_up()
        self._server.stop()
        self._log.cleanup()

    def cost(self, path: str, body: bytes) -> Cost:
        """Measure one request: the mean of enough repetitions, memory of the first.

        Raises: ServerEnded.
        """
        request = post(path, body)
        process = self._server.process.pid
        forget_most_resident(process)
        resident = most_resident(process)
        began = _cpu_seconds(process)
        status, answer = self._ask(request)
        if self._server.process.poll() is not None:
            raise ServerEnded(
                f"the server ended: POST {path} of {body[:1_000]!r}, {len(body)} bytes"
            )
        most = most_resident(process)
        times = 1
        while (cpu := _cpu_seconds(process) - began) < LEAST_SECONDS:
            self._ask(request)
            times += 1
        if status == UNANSWERED:
            self._wait_quiet()
        return Cost(len(request), status, cpu / times, answer, max(0, most - resident))

    def _ask(self, request: bytes) -> tuple[int, int]:
        """Return the status of an answer, and the bytes of it that came in time."""
        if self._connection is None:
            self._connection = self._server.connect()
        end, status, size = time.monotonic() + self._patience, UNANSWERED, 0
        try:
            self._connection.settimeout(self._patience)
            self._connection.sendall(request)
            answer = http.client.HTTPResponse(self._connection)
            answer.begin()
            while part := answer.read(1 << 16):
                size += len(part)
                self._connection.settimeout(max(0.001, end - time.monotonic()))
            status = answer.status
        except (OSError, http.client.HTTPException):
            self._hang_up()
        else:
            if answer.will_close:
                self._hang_up()
        return status, size

    def _wait_quiet(self) -> None:
        """Wait until the server has dropped its work."""
        process = self._server.process.pid
        while True:
            before = _cpu_seconds(process)
            time.sleep(QUIET_SECONDS)
            if _cpu_seconds(process) - before < QUIET_SECONDS / 10:
                return

    def _hang_up(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _cpu_seconds(process: int) -> float:
    """Return the CPU time of all threads of a process, ended ones included, to the nanosecond.

    /proc has it in steps of 10 milliseconds.
    """
    return time.clock_gettime((~process << 3) | 2)  # as clock_getcpuclockid makes it
