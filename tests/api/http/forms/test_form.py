"""Forms: the formats of a path's bodies, and the answer to one that cannot be read."""

import asyncio
from typing import Any

import pytest

from app.api.http.byte_budget import Bodies, BodyLimits
from app.api.http.forms.form import JsonForm, Posted, as_text
from app.api.verbs.tei_embed import Embed, Similarity
from app.errors import PayloadTooLarge, UnsupportedMediaType
from app.options.settings import Settings
from tools.asgi import make_scope
from tools.client import JSON

EMBED, SIMILARITY = Embed(), Similarity()


def test_a_body_of_json_is_for_the_verb_that_is_chosen_for_it() -> None:
    form = JsonForm(lambda body: SIMILARITY if b"sentences" in body else EMBED)
    scope = make_scope("POST", "/", JSON)
    assert form.posted(scope, b'{"inputs":"a"}') == Posted(EMBED, b'{"inputs":"a"}', 0)
    assert form.posted(scope, b'{"sentences":[]}').verb is SIMILARITY


@pytest.mark.parametrize("declared", [{}, {"content-type": "application/octet-stream"}])
def test_json_must_be_declared(declared: dict[str, str]) -> None:
    bodies = Bodies(BodyLimits.of(Settings(model_id="any")))

    async def receive() -> Any:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def read(headers: dict[str, str]) -> bytes:
        with bodies.holding() as share:
            scope = make_scope("POST", "/", headers)
            return await JsonForm(lambda _: EMBED).read(bodies, scope, receive, share)

    assert asyncio.run(read(JSON)) == b"{}"
    with pytest.raises(UnsupportedMediaType):
        asyncio.run(read(declared))


def test_unreadable_bodies_get_tei_s_text() -> None:
    content, media_type = as_text(PayloadTooLarge())
    assert content.startswith(b"Failed to buffer the request body: length limit exceeded")
    assert media_type == b"text/plain; charset=utf-8"
