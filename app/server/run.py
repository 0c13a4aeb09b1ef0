"""Server: the wire around the application, from the open port to the last answer.

Order on SIGTERM, SIGINT or SIGHUP: `/health` turns 503 and answers carry `connection: close`, while
the port stays open for `--drain-seconds` and at least a moment, so that requests already on the
wire are read; then the port closes, requests in flight finish, and the process exits with 0.
What is still open after `--shutdown-seconds` are cut off, with exit code 1 if that loses a request.

A service that cannot do its work any more ends too, with exit code 3, after answers already made.
"""

import asyncio
import gc
import logging
import resource
import signal
import sys
from collections.abc import Sequence
from functools import partial

import uvloop
from starlette.types import ASGIApp

from app.inference.health import HOPELESS
from app.lifecycle import Lifecycle
from app.options.settings import Settings
from app.server import signals
from app.server.listening import BACKLOG, Port
from app.server.serving import serve
from app.server.watchdog import FAILED, heartbeat
from app.telemetry.last_words import leave
from app.wire.connections import Connections, ServerConfig, quiet

logger = logging.getLogger("app.server")  # operators filter by this name

SPARE_FILES = 64  # open files other than connections: the model's, the log's, the loop's
# How long another thread may run Python before the event loop has a turn. The loop asks for the GIL
# at each of its callbacks, and with Python's own 5 ms it waited for seconds under attack.
SWITCH_SECONDS = 0.0005
# How many more objects than before may exist until the collector looks for cycles among them. A
# request makes hundreds and leaves none; at Python's own 700 the search took a tenth of its CPU.
COLLECTED_OBJECTS = 10_000
EXIT_SECONDS = 5.0  # from the end of --shutdown-seconds until the process is ended by force


def run(app: ASGIApp, settings: Settings, lifecycle: Lifecycle, port: Port) -> int:
    """Open the port, serve until a signal or a failure, and drain; return the exit code.

    Raises: StartupError when the port cannot be opened.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()  # what the start made stays
    gc.set_threshold(COLLECTED_OBJECTS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(app, settings, lifecycle, port))
    signals.ignore()  # the loop no longer handles signals, and a late one would spoil the exit code
    return _exit_code(lifecycle)


async def _serve(app: ASGIApp, settings: Settings, lifecycle: Lifecycle, port: Port) -> None:
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if lifecycle.ending.is_set():
            if number == signal.SIGHUP:  # a shell and the kernel both send it for one hangup
                return
            logger.warning("second signal: exiting at once, %d requests lost", lifecycle.in_flight)
            leave(1)
        logger.info("signal received, starting graceful shutdown")
        lifecycle.end()

    for number in signals.ending():
        loop.add_signal_handler(number, partial(on_signal, number))

    async def shutdown_trigger() -> None:
        if not lifecycle.ending.is_set():  # awaited once connections are accepted
            logger.info("Ready")
        await lifecycle.ending.wait()
        patience = 0.0
        if lifecycle.failure is None:
            await asyncio.sleep(settings.drain_seconds)
            await quiet(lambda: lifecycle.accepted)
            patience = settings.shutdown_seconds
        loop.call_later(patience + EXIT_SECONDS, _force_exit, lifecycle)

    logger.info("Starting HTTP server: %s", port)
    listening = port.open()  # before any part of the server, in case it fails
    async with heartbeat(HOPELESS * settings.run_timeout_seconds):
        connections = Connections(_connection_limit(settings.max_connections))
        await serve(app, _config(listening, settings), connections, shutdown_trigger)


def _config(listening: Sequence[int], settings: Settings) -> ServerConfig:
    """Return Hypercorn's configuration, which accepts misspelt attributes without an error."""
    config = ServerConfig()
    config.client_timeout_seconds = settings.client_timeout_seconds
    config.bind = [f"fd://{one}" for one in listening]
    config.backlog = BACKLOG
    config.errorlog = logging.getLogger("hypercorn")
    config.keep_alive_timeout = 310.0  # pooled clients keep idle connections for up to 5 minutes
    config.keep_alive_max_requests = 1_000_000  # of HTTP/2
    config.graceful_timeout = settings.shutdown_seconds
    config.shutdown_timeout = settings.shutdown_seconds + EXIT_SECONDS
    return config


def _connection_limit(wanted: int) -> int:
    """Return `wanted`, or less if fewer files may be open; raises the soft limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + SPARE_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft < needed:
        logger.warning("the limit of open files allows %d connections", soft - SPARE_FILES)
    return max(1, soft - SPARE_FILES)


def _force_exit(lifecycle: Lifecycle) -> None:
    """End a shutdown that takes too long, whatever the cause."""
    leave(_exit_code(lifecycle))


def _exit_code(lifecycle: Lifecycle) -> int:
    """Log what led to the exit code, and return it."""
    if lifecycle.in_flight:
        logger.warning("shutdown took too long: %d requests lost", lifecycle.in_flight)
    if lifecycle.failure is not None:
        logger.critical("exiting with code %d: %s", FAILED, lifecycle.failure)
        return FAILED
    return min(lifecycle.in_flight, 1)
