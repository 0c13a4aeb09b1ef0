"""The engine over the tiny model: which thread tokenizes. Its verbs are tested through HTTP."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.inference.admission import SHORT_COST, InputOptions
from app.inference.tokenizing.encoding_input import EncodingInput
from app.inference.tokenizing.tokenization import Tokenization

MakeService = Callable[..., tuple[Service, ASGIApp]]


@pytest.mark.parametrize(
    ("inputs", "others", "on_the_pool"),
    [
        (["a"], 0, False),
        (["a", "b c"], 0, False),
        (["a " * (SHORT_COST // 2 - 1)], 0, False),
        (["a " * (SHORT_COST // 2)], 0, True),
        (["a"] * (SHORT_COST // 2), 0, False),
        (["a"] * (SHORT_COST // 2 + 1), 0, True),
        (["a"], 1, False),
    ],
)
def test_a_short_request_is_tokenized_at_once(
    make_service: MakeService,
    monkeypatch: pytest.MonkeyPatch,
    inputs: list[str],
    others: int,
    on_the_pool: bool,
) -> None:
    engine = make_service(max_client_batch_size=512)[0].model.engine
    sent: list[Sequence[EncodingInput]] = []
    encode = Tokenization.encode

    async def watched(one: Tokenization, texts: Sequence[EncodingInput], options: Any) -> Any:
        sent.append(texts)
        return await encode(one, texts, options)

    monkeypatch.setattr(Tokenization, "encode", watched)
    with engine.admission.permits.taken(others):
        computed = asyncio.run(engine.embed(inputs, InputOptions()))
    assert computed.value.shape[0] == len(inputs)
    assert sent == ([inputs] if on_the_pool else [])
