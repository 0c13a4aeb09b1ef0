"""Bodies of every kind that TEI 1.9.3 answered, readable and unreadable ones.

Status and whole text of a refusal are the same here; the one exception has its row in
`docs/compatibility.md`. The models here are others, so that what is computed is not compared:
`tests/slow/test_recorded.py` compares all of it.
"""

import pytest

from app.api.body import reader
from app.errors import UnreadableRequest
from tests.api.conftest import MakeKind
from tests.recorded import KINDS, Exchange, exchanges
from tests.recorded.reading import SHAPES, is_body, is_refused, said_with_null_refused
from tools.asgi import request

BODIES = {model: [one for one in exchanges(model) if is_body(one)] for model in KINDS}
REFUSED = [one for bodies in BODIES.values() for one in bodies if is_refused(one)]


def test_all_of_them_are_here() -> None:
    assert {model: len(exchanges(model)) for model in KINDS} == {
        "bert-mean": 904,
        "bert-reranker": 958,
        "roberta-classifier": 957,
    }
    assert len(REFUSED) == 1512


@pytest.mark.parametrize("model", KINDS)
def test_bodies_that_tei_cannot_read(make_kind: MakeKind, model: str) -> None:
    app, different = make_kind(KINDS[model]), []
    for one in filter(is_refused, BODIES[model]):
        reply = request(app, "POST", one.target, one.content)
        by_row = one.body == said_with_null_refused(one)  # row "`null` for `normalize`, …"
        if (reply.status, reply.text) != (one.status, one.body) and not by_row:
            different.append((one.content, one.body, reply.text))
    assert different == []


def test_null_alone_makes_a_difference() -> None:
    """The row about `null` excuses only bodies with a null."""
    for one in REFUSED:
        if b"null" not in one.content:
            with pytest.raises(UnreadableRequest) as caught:
                reader.read(one.content, SHAPES[one.target])
            assert (caught.value.status, str(caught.value)) == (one.status, one.body)


@pytest.mark.parametrize("model", KINDS)
def test_bodies_that_tei_reads(make_kind: MakeKind, model: str) -> None:
    """It is read here as well; an instance of `/vertex` is refused in the same words."""
    app, different = make_kind(KINDS[model]), []
    for one in BODIES[model]:
        if is_refused(one):
            continue
        reply = request(app, "POST", one.target, one.content)
        is_read = reply.headers["content-type"] == "application/json"
        if not is_read or (_is_refused_instance(one) and reply.text != one.body):
            different.append((one.content, one.body, reply.text))
    assert different == []


def _is_refused_instance(exchange: Exchange) -> bool:
    return exchange.target == "/vertex" and exchange.status in {400, 422}
