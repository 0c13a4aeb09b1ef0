"""Processes of tests, which end with their test, and a server as an operator runs it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, Self

from tools import client
from tools.client import Reply

ROOT = Path(__file__).resolve().parent.parent
_started: list[subprocess.Popen[Any]] = []


def start(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[Any]:
    """Start a process, with `subprocess.Popen`'s options; `all_ended` ends it if nothing else does.

    Tests start processes that run beside them only here.
    """
    process = subprocess.Popen(command, **options)
    _started.append(process)
    return process


def end(process: subprocess.Popen[Any]) -> None:
    """Kill a process that has not ended, and close its pipes."""
    process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
    process.wait()


@contextmanager
def all_ended() -> Iterator[None]:
    """End every process that the block has started, however the block ends."""
    before = list(_started)
    try:
        yield
    finally:
        for process in _started:
            if process not in before:
                end(process)
        _started[:] = before


def variables(changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a process that a test starts: our own with changes, and without a Hub.

    Our PYTHONPATH is kept behind another: it says which processor is seen.
    """
    changes = changes or {}
    paths = [one["PYTHONPATH"] for one in (changes, os.environ) if "PYTHONPATH" in one]
    kept = {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}
    return {**os.environ, "HF_HUB_OFFLINE": "1", **changes, **kept}


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Server:
    """`python -m app` on a free port of the loopback interface.

    It ends with the test that started it; a fixture for several tests ends it: `with Server(…)`.
    """

    def __init__(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
        log: Path | int | None = None,
        module: str = "app",
    ) -> None:
        """Keep its output in a pipe, or in a file where it may exceed 1 MiB: `log`.

        `log` may also be a file descriptor.
        """
        self.port = port or free_port()
        self._printed = ""  # output read so far
        flags = [*arguments, "--hostname", "127.0.0.1", "--port", str(self.port)]
        number = subprocess.PIPE if log is None else log
        with number.open("w") if isinstance(number, Path) else nullcontext(number) as output:
            self.process = launch(flags, environment or {}, module, output)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self, seconds: float = 300) -> None:
        """Return when the port is open."""
        wait_open(self.port, self.process, seconds)

    def wait_warm(self, seconds: float = 300) -> None:
        """Wait until all shapes are warmed up, for measurements from the first answer on."""

        def is_warm() -> bool:
            text = self.get("/metrics").text
            found = re.findall(r"^te_shapes_\w+ (\d+)$", text, re.MULTILINE)
            learned, wanted = map(int, found)
            return learned == wanted

        eventually(is_warm, seconds, "not every shape is learned", pause=0.1)

    def get(self, path: str) -> Reply:
        """Return the answer to a GET, on a connection of its own."""
        return client.get(self.port, path)

    def post(self, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the answer to a POST of JSON, a value or bytes, on a connection of its own."""
        return client.post(self.port, path, body, headers)

    def connect(self) -> socket.socket:
        """Open a fresh connection."""
        return socket.create_connection(("127.0.0.1", self.port), 60)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait_for(self, words: str) -> None:
        """Return when it has printed these words."""
        assert self.process.stdout is not None
        while words not in self._printed:
            part = os.read(self.process.stdout.fileno(), 65536)
            assert part, f"the server ended: {self._printed}"
            self._printed += part.decode()

    def output(self, seconds: float = 300) -> str:
        """Wait for the end, and return the whole output."""
        return self._printed + self.process.communicate(timeout=seconds)[0]

    def stop(self) -> None:
        """End it by force, if it has not ended."""
        end(self.process)


def wait_open(port: int, process: subprocess.Popen[str], seconds: float = 300) -> None:
    """Return when a process has opened its port."""

    def is_open() -> bool:
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {process.communicate()[0]}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            return False
        return True

    eventually(is_open, seconds, "the server does not listen")


def launch(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    module: str = "app",
    output: int | IO[str] = subprocess.PIPE,
) -> subprocess.Popen[str]:
    """Start `python -m MODULE`, its output and errors in one pipe or file.

    No Hub is asked unless one is named.
    """
    return start(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env=variables(environment),
        stdout=output,
        stderr=subprocess.STDOUT,
        pipesize=1 << 20,
        text=True,
    )


def eventually(
    condition: Callable[[], bool],
    seconds: float = 300,
    fault: str = "it has not come about",
    pause: float = 0.02,
) -> None:
    """Poll until a condition holds that another process or thread brings about.

    Only this function sleeps in tests, where no event can be waited for.
    """
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{fault} after {seconds:g} seconds"
        time.sleep(pause)


def most_resident(pid: int) -> int:
    """Return the peak of a process's resident bytes since `forget_most_resident`."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def forget_most_resident(pid: int) -> None:
    """Reset the peak of a process's resident bytes."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
