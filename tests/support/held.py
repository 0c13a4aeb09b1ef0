"""Resources that the requests of a server hold."""

from collections.abc import Iterator
from pathlib import Path

from tools.process import Server


def serving(model: Path, log: Path, *flags: str) -> Iterator[Server]:
    with Server("--model-id", str(model), *flags, log=log) as running:
        running.wait_ready()
        yield running
        running.signal()
        assert running.process.wait(30) == 0
    assert "Traceback" not in log.read_text()


def held(server: Server) -> set[str]:
    """Return what requests hold: permits, and bytes of bodies."""
    lines = server.get("/metrics").text.splitlines()
    return {one for one in lines if one.startswith(("te_permits_taken", "te_body_bytes_held"))}


NOTHING = {"te_permits_taken 0", "te_body_bytes_held 0"}
