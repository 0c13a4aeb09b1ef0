"""Tokenize: the calls that only the tokenizer answers; they count nothing but failures."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

from app.api.shapes.inputs import ID_BYTES, memory_of
from app.api.verbs.answer_headers import model_headers
from app.api.verbs.counting import FailureCounted
from app.api.verbs.tei_tokenize import ANSWER_BYTES
from app.inference.served_model import ServedModel
from app.inference.tokenizing.token_places import Token
from app.rpc.calls.call import Answer, Message, admitted
from app.rpc.messages import named, parsed

_ENCODE, _ENCODED, _TOKEN = named("EncodeRequest"), named("EncodeResponse"), named("SimpleToken")
_DECODE, _DECODED = named("DecodeRequest"), named("DecodeResponse")

# Asks a model for the answer to one text or one list of ids.
_Ask = Callable[[ServedModel], AsyncGenerator[bytes, None]]


async def tokenize(message: Message) -> Answer:
    """Answer with the tokens of a text; raises ServiceError or CallRefused."""
    asked = parsed(_ENCODE, message.content)
    text = asked.inputs

    def ask(model: ServedModel) -> AsyncGenerator[bytes, None]:
        return model.listing.tokenize(
            [text],
            _tokens,
            add_special_tokens=asked.add_special_tokens,
            prompt_name=asked.prompt_name if asked.HasField("prompt_name") else None,
        )

    return await _answer(message, "tokenize", memory_of([text]) + ANSWER_BYTES * len(text), ask)


async def decode(message: Message) -> Answer:
    """Answer with the text of ids; raises ServiceError or CallRefused."""
    asked = parsed(_DECODE, message.content)

    def ask(model: ServedModel) -> AsyncGenerator[bytes, None]:
        skip = asked.skip_special_tokens
        return model.listing.decode([asked.ids], _text, skip_special_tokens=skip)

    return await _answer(message, "decode", (ID_BYTES + ANSWER_BYTES) * len(asked.ids), ask)


async def _answer(message: Message, name: str, size: int, ask: _Ask) -> Answer:
    """Answer with what `ask` finds, which takes about `size` bytes with what it reads."""
    service = message.service
    with message.caller.request(name) as span:
        with FailureCounted(service.metrics):
            message.share.reserve(size)
            async with (
                admitted(service.model, 1, waits=message.waits) as model,
                contextlib.aclosing(ask(model)) as answers,
            ):
                content = await anext(answers)
        span.model = model.label
        span.answered()
    return Answer(content, model_headers(model))


def _tokens(tokens: Iterator[Token]) -> bytes:
    """Write the tokens of a text, one at a time: they are many."""
    return b"".join(_ENCODED(tokens=[_message(token)]).SerializeToString() for token in tokens)


def _message(token: Token) -> Any:
    return _TOKEN(
        id=token.id, text=token.text, special=token.special, start=token.start, stop=token.stop
    )


def _text(text: str) -> bytes:
    content: bytes = _DECODED(text=text).SerializeToString()
    return content
