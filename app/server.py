"""Server: Hypercorn around the application, from the open port to the last answer.

Order on SIGTERM or SIGINT: `/health` turns 503 and answers carry `connection: close`, while the
port stays open for `--drain-seconds` and at least a moment, so that requests already on the wire
are read; then Hypercorn closes the port, lets requests in flight finish, and we exit with 0. What
is still open after `--shutdown-seconds` is cut off, with exit code 1 if a request is lost.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable

import hypercorn.asyncio.run
import uvloop
from hypercorn.asyncio import serve
from hypercorn.asyncio.tcp_server import TCPServer
from hypercorn.config import Config
from starlette.types import ASGIApp

from app.errors import StartupError
from app.lifecycle import Lifecycle
from app.settings import Settings

logger = logging.getLogger(__name__)

TURN_SECONDS = 0.02
QUIET_TURNS = 5
QUIET_LIMIT_SECONDS = 2.0
EXIT_SECONDS = 5.0  # from the end of --shutdown-seconds until the process is ended by force
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class PoliteTCPServer(TCPServer):
    """A connection that ends when its client ends it, and not with a request unread.

    Hypercorn 0.18 holds an idle connection that its client closed until the keep-alive time is
    over: at 100 clients a second that is 31,000 open files. And at shutdown it closes a connection
    that looks idle at once, although a request may lie unread in its buffer.
    """

    async def _read_data(self) -> None:
        await super()._read_data()
        await self.idle_task.stop()

    async def _idle_timeout(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.context.terminated.wait(), self.config.keep_alive_timeout)
            await _quiet(lambda: 0)  # reading a request cancels this
        await asyncio.shield(self._initiate_server_close())


hypercorn.asyncio.run.TCPServer = PoliteTCPServer  # type: ignore[attr-defined]  # its only seam


def run(app: ASGIApp, settings: Settings, lifecycle: Lifecycle) -> None:
    """Serve until a signal comes, then drain.

    Raises: StartupError when the port cannot be opened.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(app, settings, lifecycle))


async def _serve(app: ASGIApp, settings: Settings, lifecycle: Lifecycle) -> None:
    loop = asyncio.get_running_loop()
    signalled = asyncio.Event()

    def on_signal() -> None:
        if signalled.is_set():
            logger.warning("second signal: exiting at once, %d requests lost", lifecycle.in_flight)
            os._exit(1)
        lifecycle.draining = True
        signalled.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)

    async def shutdown_trigger() -> None:
        logger.info("Ready")  # Hypercorn asks for the trigger once the port is open
        await signalled.wait()
        logger.info("signal received, starting graceful shutdown")
        await asyncio.sleep(settings.drain_seconds)
        await _quiet(lambda: lifecycle.accepted)
        loop.call_later(settings.shutdown_seconds + EXIT_SECONDS, _force_exit, lifecycle)

    address = _address(settings)
    logger.info("Starting HTTP server: %s", address)
    try:
        await serve(
            app,  # type: ignore[arg-type]  # one protocol, typed apart by Hypercorn and Starlette
            _config(address, settings),
            shutdown_trigger=shutdown_trigger,
            mode="asgi",
        )
    except OSError as error:
        raise StartupError(f"cannot listen on {address}: {error.strerror or error}") from None


async def _quiet(count: Callable[[], int]) -> None:
    """Return once what is on the wire has been read, or after QUIET_LIMIT_SECONDS.

    Quiet is a row of turns in which `count` stood still and the event loop woke up in time.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + QUIET_LIMIT_SECONDS
    turns = 0
    while turns < QUIET_TURNS and loop.time() < end:
        before, started = count(), loop.time()
        await asyncio.sleep(TURN_SECONDS)
        on_time = loop.time() - started < 2 * TURN_SECONDS
        turns = turns + 1 if on_time and count() == before else 0


def _config(address: str, settings: Settings) -> Config:
    """Hypercorn as we want it; it accepts misspelt attributes in silence."""
    config = Config()
    config.bind = [address]
    config.backlog = 2048
    config.errorlog = logging.getLogger("hypercorn")
    config.include_server_header = False
    config.keep_alive_timeout = 310.0  # pooled clients keep idle connections for up to 5 minutes
    config.keep_alive_max_requests = 1_000_000
    config.graceful_timeout = settings.shutdown_seconds
    config.shutdown_timeout = settings.shutdown_seconds
    return config


def _address(settings: Settings) -> str:
    host = settings.bind_host
    return f"[{host}]:{settings.listen_port}" if ":" in host else f"{host}:{settings.listen_port}"


def _force_exit(lifecycle: Lifecycle) -> None:
    """End a shutdown that a client holds up; Hypercorn waits without limit on Python >= 3.12."""
    logger.warning("shutdown took too long: %d requests lost", lifecycle.in_flight)
    os._exit(1 if lifecycle.in_flight else 0)
