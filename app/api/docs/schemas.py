"""Schemas: the bodies that the readers accept, in OpenAPI's terms, with this service's limits.

Only what the service enforces is stated: any other value gets 400 or 422, unless it is another
spelling of one that is stated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.api.docs.limits import Limits
from app.api.shapes.choices import SeveralOf
from app.api.shapes.fields import (
    MAX_U32,
    MAX_U64,
    REQUIRED,
    ArrayOf,
    Field,
    Reader,
    Shape,
    Struct,
    Variant,
    anything,
    boolean,
    string,
    unsigned,
)
from app.api.shapes.inputs import decode_ids, embed_input, predict_input, tokenize_input
from app.api.shapes.openapi_types import COUNT, TEXT, Named, Schema, list_of
from app.api.shapes.spans import MOST_SPANS, spans
from app.api.verbs.cohere.embed import no_images
from app.api.verbs.cohere.rerank import DOCUMENT_TEXT, document
from app.api.verbs.open_inference.fields import TENSORS, elements

ID: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_U32}
# Arrays of inputs, and how many more inputs their request has beside each.
_INPUTS: Mapping[str, int] = {"texts": 0, "documents": 0, "sentences": 1, "inputs": 0}


def object_schema(shape: Shape, limits: Limits) -> Named:
    """Return the schema of a body, or of an object in one, under the shape's name."""
    limits = replace(limits, inputs=max(limits.inputs, shape.promised))
    of = "OpenAICompat" if shape.promised else ""  # other limits need a component of another name
    fields = shape.fields.values()
    described: Schema = {
        "type": "object",
        "properties": {field.name: _field(field, limits, of) for field in fields},
    }
    required = [field.name for field in fields if field.default is REQUIRED]
    return Named(shape.name, {**described, "required": required} if required else described)


def _field(field: Field, limits: Limits, of: str) -> Schema:
    schema = _schema(field.read, limits, of)
    if field.name in _INPUTS and isinstance(field.read, ArrayOf) and field is not TENSORS:
        schema = {**schema, "minItems": 1, "maxItems": limits.inputs - _INPUTS[field.name]}
    elif field.name in {"dimensions", "output_dimension"}:
        schema = {**schema, "minimum": 1, "maximum": limits.dimensions}
    elif field.name == "output_types":
        what = "An object for each input, with its vectors of these kinds; `/info` lists `vectors`."
        schema = {**schema, "description": what}
    elif field.name == "model" and limits.models:
        names = ", ".join(f"`{name}`" for name in limits.models)
        schema = {**schema, "description": f"A model's name or id, by default the first: {names}."}
    elif field.name == "prompt_name":
        # No enum: a generated client may be used with models that have other prompts.
        names = ", ".join(f"`{name}`" for name in limits.prompts) or "none"
        schema = {**schema, "description": f"The prompt to put before inputs; there are: {names}."}
    return schema if field.default is REQUIRED else _optional(schema, field.default)


def _optional(schema: Schema, default: Any) -> Schema:
    """Return the schema of a field that may be left out or null, which means the same."""
    if isinstance(schema, Named):  # siblings of a reference would be ignored
        schema = {"allOf": [schema], "nullable": True}
    elif "type" in schema:  # without a type, null is allowed already
        schema = {**schema, "nullable": True}
    return schema if default is None else {**schema, "default": default}


def _schema(read: Reader, limits: Limits, of: str) -> Schema:
    match read:
        case ArrayOf():
            return list_of(_schema(read.read, limits, of))
        case Struct():
            return object_schema(read.shape, limits)
        case SeveralOf():
            word = Named(read.name, {"type": "string", "enum": list(read.words)})
            return {**list_of(word), "minItems": 1}
        case Variant():
            return Named(read.name, {"type": "string", "enum": _first_spellings(read)})
    if read in _BATCHES:
        name, alone, batch = _BATCHES[read]
        return Named(f"{of}{name}", {"anyOf": [*alone, {**batch, "maxItems": limits.inputs}]})
    return _FUNCTIONS[read]


def _first_spellings(variant: Variant) -> list[str]:
    """Return one spelling of each value: generators give those that differ in case one name."""
    spelled: dict[Any, str] = {}
    for spelling, value in variant.values.items():
        spelled.setdefault(value, spelling)
    return list(spelled.values())


_IDS: Schema = {**list_of(ID), "minItems": 1}
_TEXT_OR_PAIR: Schema = {**list_of(TEXT), "minItems": 1, "maxItems": 2}
_ROW: Schema = {**list_of(TEXT), "minItems": 1, "maxItems": 1}
_FUNCTIONS: Mapping[Reader, Schema] = {
    anything: {},
    boolean: {"type": "boolean"},
    string: TEXT,
    unsigned: {"type": "integer", "minimum": 0, "maximum": MAX_U64},
    no_images: {**list_of(TEXT), "maxItems": 0},
    spans: {
        **list_of({**list_of(COUNT), "minItems": 2, "maxItems": 2}),
        "minItems": 1,
        "maxItems": MOST_SPANS,
        "description": "Starts and ends in `inputs`, in Unicode code points: a vector for each.",
    },
    elements: Named("TensorData", {"anyOf": [list_of(TEXT), list_of(_ROW)]}),
    document: Named("Document", {"anyOf": [TEXT, DOCUMENT_TEXT]}),
}
_INPUT_TYPE = Named("InputType", {"anyOf": [TEXT, _IDS]})
# The name of each, its schemas for one input, and its schema for several.
_BATCHES: Mapping[Reader, tuple[str, Sequence[Schema], Schema]] = {
    embed_input: ("Input", [_INPUT_TYPE], {**list_of(_INPUT_TYPE), "minItems": 1}),
    predict_input: (
        "PredictInput",
        [TEXT, _TEXT_OR_PAIR],
        {**list_of(_TEXT_OR_PAIR), "minItems": 1},
    ),
    tokenize_input: ("TokenizeInput", [TEXT], {**list_of(TEXT), "minItems": 1}),
    decode_ids: ("InputIds", [_IDS], {**list_of(_IDS), "minItems": 1}),
}
