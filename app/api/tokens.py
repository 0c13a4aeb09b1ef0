"""TEI's tokenizer routes: `/tokenize` and `/decode`. They need no model and take no permits."""

import orjson

from app.api import body
from app.api.fields import Field, Shape, boolean
from app.api.inputs import decode_ids, tokenize_input
from app.api.verb import COUNT, PROMPT_NAME, TEXT, Named, list_of, record
from app.errors import EmptyInput
from app.inference.engine import Engine

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


async def tokenize(engine: Engine, content: bytes) -> bytes:
    """Answer POST `/tokenize`: for each text, its tokens with their UTF-8 byte offsets."""
    values = await body.in_turns(content, TOKENIZE, dict)
    if not values["inputs"]:
        raise EmptyInput("`inputs` cannot be empty")
    tokenized = await engine.admission.tokenize(
        values["inputs"],
        add_special_tokens=values["add_special_tokens"],
        prompt_name=values["prompt_name"],
    )
    return orjson.dumps(tokenized)


async def decode(engine: Engine, content: bytes) -> bytes:
    """Answer POST `/decode`: for each list of ids, its text."""
    values = await body.in_turns(content, DECODE, dict)
    texts = await engine.admission.decode(
        values["ids"], skip_special_tokens=values["skip_special_tokens"]
    )
    return orjson.dumps(texts)
