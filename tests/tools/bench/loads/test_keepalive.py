"""The bench's own client: it keeps connections, and a refusal is an error."""

from contextlib import closing

import pytest

from tests.tools.bench.loads.recorder import recording
from tools.bench.load import OURS
from tools.bench.loads.keepalive import Connection, load


def test_each_connection_is_kept_and_the_load_ends_with_its_texts() -> None:
    bodies = [OURS.body(str(number)) for number in range(50)]
    with recording() as server:
        answered, wall, median = load(server.url, OURS.path, bodies, 4, 60)
    assert answered == 50
    assert sorted(map(int, server.texts)) == list(range(50))
    assert len(server.connections) == 4
    assert 0 < median <= wall


def test_a_refusal_is_an_error() -> None:
    with (
        recording(status=429) as server,
        closing(Connection(server.url)) as connection,
        pytest.raises(RuntimeError, match="the server refused a request: 429"),
    ):
        connection.post(OURS.path, OURS.body("a"))
