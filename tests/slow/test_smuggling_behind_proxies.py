"""Request smuggling: no message makes a proxy and the server disagree about a request's end.

A proxy may take what is hidden in a message for a second request, whose answer its client then
gets as well. Where it does not, neither may the server.
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.framing import LAST, READ, REFUSED, statuses
from tests.support.proxies import proxied
from tools import client
from tools.process import Server, eventually

pytestmark = pytest.mark.slow

NO_VERSION = "no version"  # nginx takes it for HTTP/0.9, whose answers have no status to count
MESSAGES = {name: message for name, (message, _) in REFUSED.items() if name != NO_VERSION} | dict(
    READ
)


@pytest.fixture(scope="module", params=["haproxy", "nginx"])
def behind(
    request: pytest.FixtureRequest, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[int, Server]]:
    """A proxy's port, and the server behind it."""
    server = Server("--model-id", str(tiny_model), "--log-level", "error,app.api.spans=off")
    folder = tmp_path_factory.mktemp("proxy")
    try:
        server.wait_ready()
        with proxied(request.param, server.port, server.port, folder) as port:
            eventually(lambda: answered(port))
            yield port, server
    finally:
        server.stop()


def answered(port: int) -> bool:
    with contextlib.suppress(OSError):
        return client.get(port, "/livez").status == 200
    return False


def served(server: Server) -> int:
    """Return the number of these requests that the server itself has answered with 200."""
    content = server.get("/metrics").text
    found = re.findall(r'path="/(?:embed|info|livez)",status="200"} (\d+)', content)
    return sum(map(int, found))


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_the_server_answers_as_many_requests_as_the_proxy_asked(
    behind: tuple[int, Server], message: bytes
) -> None:
    port, server = behind
    before = served(server)
    answers = statuses(port, message + LAST)
    assert served(server) - before == answers.count(200)
    for _ in range(3):  # over connections that the proxy keeps
        assert client.get(port, "/livez").status == 200


def test_a_request_without_a_version_is_one_at_most(behind: tuple[int, Server]) -> None:
    port, server = behind
    before = served(server)
    assert 200 not in statuses(port, REFUSED[NO_VERSION][0] + LAST)
    assert served(server) - before <= 1


def test_unambiguous_messages_pass(behind: tuple[int, Server]) -> None:
    port, _ = behind
    assert statuses(port, READ["chunked"] + LAST) == [200, 200]
