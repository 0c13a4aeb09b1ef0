"""`python -m app.healthcheck`: exit 0 if the service in this container answers its health route.

It reads the port that process 1 was told, by flag or environment, so it holds for any of them.
"""

import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

from app.settings import Settings

TIMEOUT_SECONDS = 4.0


def main(cmdline: Path = Path("/proc/1/cmdline")) -> int:
    """Ask the service that runs with this command line; the exit code."""
    words = cmdline.read_bytes().decode().rstrip("\0").split("\0")
    arguments = words[words.index("-m") + 2 :] if "-m" in words else []
    settings = Settings.read(arguments, os.environ)
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.bind_host, settings.bind_host)  # noqa: S104  # compared, not bound
    past_proxies = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        url = f"http://{host}:{settings.listen_port}/health"
        past_proxies.open(url, timeout=TIMEOUT_SECONDS).close()
    except (urllib.error.URLError, OSError) as error:
        print(error, file=sys.stderr)  # noqa: T201  # shown by `podman inspect`
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
