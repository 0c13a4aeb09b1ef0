"""`python -m app.healthcheck`: exit 0 if the service in this container answers its health route.

It reads the address from the command line and environment of process 1, and so works with any. Any
failure is one line on standard error, and exit code 1.
"""

import http.client
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from app.options.settings import Settings
from app.server.listening import resolved

TIMEOUT_SECONDS = 4.0
# The address to ask if the service listens on every address.
_EVERY: Mapping[str, str] = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound


def main(cmdline: Path = Path("/proc/1/cmdline")) -> int:
    """Ask the service that runs with this command line; return the exit code."""
    try:
        status = _ask(cmdline)
    except SystemExit:  # process 1 was only asked for its help or version
        return _tell("process 1 serves nothing")
    except Exception as error:  # noqa: BLE001  # nothing above would catch it
        return _tell(f"{type(error).__name__}: {error}")
    return 0 if status == http.client.OK else _tell(f"the service answers {status}")


def _ask(cmdline: Path) -> int:
    """Return the status of the health route."""
    words = os.fsdecode(cmdline.read_bytes()).rstrip("\0").split("\0")
    arguments = words[words.index("-m") + 2 :] if "-m" in words else []
    # The model may be named where this process does not see it; any name does here.
    settings = Settings.read(
        arguments, {**os.environ, "MODEL_ID": os.environ.get("MODEL_ID") or "m"}
    )
    host = resolved(settings.bind_host)[0]
    service = http.client.HTTPConnection(
        _EVERY.get(host, host), settings.listen_port, timeout=TIMEOUT_SECONDS
    )
    try:
        service.request("GET", "/health")
        return service.getresponse().status
    finally:
        service.close()


def _tell(fault: str) -> int:
    print(" ".join(fault.split()), file=sys.stderr)  # noqa: T201  # shown by `podman inspect`
    return 1


if __name__ == "__main__":
    sys.exit(main())
