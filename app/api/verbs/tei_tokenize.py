"""TEI's tokenizer routes: `/tokenize` and `/decode`, which run no model.

An answer is rendered in parts, on the tokenizer's threads, each when the one before it has been
sent, since it may be fifty times as large as its request.
"""

import contextlib
import itertools
from collections.abc import AsyncGenerator, Iterator

import orjson

from app.api.body import reader
from app.api.shapes.fields import Field, Shape, boolean
from app.api.shapes.inputs import decode_ids, memory_of, tokenize_input
from app.api.shapes.openapi_types import COUNT, TEXT, Named, list_of, record
from app.api.verbs.input_fields import PROMPT_NAME
from app.api.verbs.verb import Room
from app.errors import EmptyInput
from app.inference.served_model import ServedModel
from app.inference.tokenizing.token_places import Token

TOKENIZE = Shape(
    "TokenizeRequest",
    Field("inputs", tokenize_input),
    Field("add_special_tokens", boolean, True, filled=True),
    PROMPT_NAME,
)
DECODE = Shape(
    "DecodeRequest",
    Field("ids", decode_ids),
    Field("skip_special_tokens", boolean, True, filled=True),
)

PLACE = {**COUNT, "nullable": True}
TOKEN = Named(
    "SimpleToken",
    record(id=COUNT, text=TEXT, special={"type": "boolean"}, start=PLACE, stop=PLACE),
)
TOKENS = Named("TokenizeResponse", list_of(list_of(TOKEN)))
TEXTS = Named("DecodeResponse", list_of(TEXT))


TOKENS_AT_ONCE = 1_000  # Python objects in memory at a time
ANSWER_BYTES = 80  # of JSON for each character that is a token, and about as many for each id


async def tokenize(model: ServedModel, content: bytes, room: Room) -> AsyncGenerator[bytes, None]:
    """Answer POST `/tokenize`: for each text, its tokens with their UTF-8 byte offsets.

    Raises, before the first part: ServiceError.
    """
    values = await reader.in_turns(content, TOKENIZE, dict)
    if not values["inputs"]:
        raise EmptyInput("`inputs` cannot be empty")
    room.reserve(memory_of(values["inputs"]) + ANSWER_BYTES * max(map(len, values["inputs"])))
    rendered = model.listing.tokenize(
        values["inputs"],
        _tokens,
        add_special_tokens=values["add_special_tokens"],
        prompt_name=values["prompt_name"],
    )
    async for part in _array(rendered):
        yield part


async def decode(model: ServedModel, content: bytes, room: Room) -> AsyncGenerator[bytes, None]:
    """Answer POST `/decode`: for each list of ids, its text.

    Raises, before the first part: ServiceError.
    """
    values = await reader.in_turns(content, DECODE, dict)
    room.reserve(memory_of(values["ids"]) + ANSWER_BYTES * max(map(len, values["ids"]), default=0))
    rendered = model.listing.decode(
        values["ids"], orjson.dumps, skip_special_tokens=values["skip_special_tokens"]
    )
    async for part in _array(rendered):
        yield part


async def _array(elements: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield a JSON array of rendered elements in parts; errors come before the first part."""
    before = b"["
    async with contextlib.aclosing(elements):
        async for element in elements:
            yield before + element
            before = b","
    yield b"]" if before == b"," else b"[]"


def _tokens(tokens: Iterator[Token]) -> bytes:
    """Render the tokens of one text, TOKENS_AT_ONCE objects at a time."""
    parts = []
    while some := list(itertools.islice(tokens, TOKENS_AT_ONCE)):
        parts.append(orjson.dumps(some)[1:-1])
    return b"[%b]" % b",".join(parts)
