"""`python -m app.healthcheck`: exit 0 if the service in this container answers its health route.

It reads the address that process 1 was told, by flag or environment, so it holds for any of them.
Whatever is wrong is one line on standard error, and exit code 1.
"""

import http.client
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from app.server.listening import resolved
from app.settings import Settings

TIMEOUT_SECONDS = 4.0
# Of a service that listens at every address, the one to ask.
_EVERY: Mapping[str, str] = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # compared, not bound


def main(cmdline: Path = Path("/proc/1/cmdline")) -> int:
    """Ask the service that runs with this command line; the exit code."""
    try:
        status = _ask(cmdline)
    except SystemExit:  # process 1 was only asked for its help or version
        return _tell("process 1 serves nothing")
    except Exception as error:  # noqa: BLE001  # there is nobody to catch what is not foreseen
        return _tell(f"{type(error).__name__}: {error}")
    return 0 if status == http.client.OK else _tell(f"the service answers {status}")


def _ask(cmdline: Path) -> int:
    """The status of the health route."""
    words = os.fsdecode(cmdline.read_bytes()).rstrip("\0").split("\0")
    arguments = words[words.index("-m") + 2 :] if "-m" in words else []
    # The model may be named where this process does not see it, and does not matter.
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
