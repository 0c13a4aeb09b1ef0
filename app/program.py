"""The program: read the settings, prepare and load the model, serve.

Exits with 2 for bad usage and with 1 when the service cannot start, after a line on standard error
that says why; with 0 after a signal; and with 3 when it cannot do its work any more and has to be
restarted.
"""

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import NoReturn

from app import dry_run, preflight
from app.application import build_each, create_app, grpc_api
from app.download.preparation import all_prepared
from app.errors import StartupError
from app.options import command_line
from app.options.command_line import UsageError
from app.options.settings import Settings
from app.server import signals
from app.server.allocator import limit_arenas
from app.server.listening import Port, taken
from app.server.run import run
from app.server.watchdog import FAILED
from app.telemetry import logs, standard_files
from app.telemetry.last_words import SECONDS, leave

logger = logging.getLogger("app")

Addresses = Callable[[], list[str]] | None  # frees the port of the gRPC API; where to listen


def main() -> int:
    """Run the service; return the exit code."""
    signals.heed(_leave)
    limit_arenas(os.environ)
    try:
        each = Settings.read_each(sys.argv[1:], os.environ)
    except UsageError as error:
        _say(f"error: {error}\nFor more information, try '--help'.")
        return 2
    settings = each[0]
    _log(each)
    try:
        if settings.dry_run:
            return _tell(each)
        with _ports(settings) as (port, addresses):
            preflight.check(settings)
            return _serve(each, port, addresses)
    except StartupError as error:
        _say(f"Error: {logs.one_line(str(error))}")
        return 1
    except MemoryError:
        _say(f"Error: {preflight.out_of_memory()}")
        return 1
    except Exception:  # a supervisor must see any failure in the code and the last line
        logger.critical("exiting with code %d: the server ended", FAILED, exc_info=True)
        return FAILED


def run_to_end() -> NoReturn:
    """Run the service, and exit with its code."""
    leave(main())


def _log(each: Sequence[Settings]) -> None:
    """Begin the log with what was asked for; a dry run logs warnings alone, beside its answer."""
    settings = each[0]
    standard_files.never_wait()
    logs.configure(
        "warn" if settings.dry_run else settings.log_level,
        json_output=settings.json_output,
        spans=not settings.disable_spans,
    )
    for one in each:
        logger.info("%s", command_line.shown(one))
    if not settings.hostname:
        logger.info("HOSTNAME is this machine's own name: listening on %s", settings.bind_host)


def _tell(each: Sequence[Settings]) -> int:
    """Print what a start would serve; a port in use is a warning, as the service may be running.

    Raises: StartupError.
    """
    try:
        with _ports(each[0]):
            pass
    except StartupError as error:
        _write(standard_files.OUTPUT, f"warning: {error}")
    preflight.check(each[0])
    for line in dry_run.report(each, os.environ):
        _write(standard_files.OUTPUT, line)
    return 0


def _serve(each: Sequence[Settings], port: Port, addresses: Addresses) -> int:
    """Prepare and open the models, and serve them until a signal or a failure.

    Raises: StartupError.
    """
    settings = each[0]
    with all_prepared(each, os.environ) as models:
        for sentence in preflight.shortages([folder for _, folder in models]):
            logger.warning("%s", sentence)
        logs.start()  # starts a thread, which must not run while a child is started
        service = build_each(models)
    beside = grpc_api(service, settings, addresses)
    code = run(create_app(service, settings, beside), settings, service.lifecycle, port)
    if service.tracer is not None:
        service.tracer.close()
    return code


@contextlib.contextmanager
def _ports(settings: Settings) -> Iterator[tuple[Port, Addresses]]:
    """Yield the port of HTTP and what frees that of gRPC, if there is one, kept inside the block.

    Raises: StartupError naming the option of one that is not available.
    """
    with taken(settings.bind_host, settings.listen_port) as port:
        if settings.grpc_port is None:
            yield port, None
            return
        option = "--grpc-port (GRPC_PORT)"
        with taken(settings.bind_host, settings.grpc_port, option) as of_grpc:
            yield port, of_grpc.freed


def _say(text: str) -> None:
    """Write why a start failed to standard error, as TEI does, whatever happens to the log."""
    _write(standard_files.ERRORS, text)


def _write(number: int, text: str) -> None:
    standard_files.write(number, f"{text}\n".encode("utf-8", "backslashreplace"), SECONDS)


def _leave(number: int, _: FrameType | None) -> None:
    """Exit on a signal before the server is up; unfinished files are removed on the way out."""
    sys.exit(128 + number)
