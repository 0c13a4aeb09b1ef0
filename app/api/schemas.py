"""Schemas: what the readers of bodies take, as OpenAPI writes it, with this service's limits.

Only what the service holds to is stated: a value outside of it gets 400 or 422.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from app.api.cohere import document
from app.api.endpoints import Limits
from app.api.fields import (
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
from app.api.inputs import decode_ids, embed_input, predict_input, tokenize_input
from app.api.verb import TEXT, Schema, list_of, record

ID: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_U32}
# Arrays of inputs, and how many inputs stand beside each.
_INPUTS: Mapping[str, int] = {"texts": 0, "documents": 0, "sentences": 1}


def object_schema(shape: Shape, limits: Limits) -> Schema:
    """The schema of a body, or of an object in one."""
    limits = replace(limits, inputs=max(limits.inputs, shape.promised))
    fields = shape.fields.values()
    described: Schema = {
        "type": "object",
        "properties": {field.name: _field(field, limits) for field in fields},
    }
    required = [field.name for field in fields if field.default is REQUIRED]
    return {**described, "required": required} if required else described


def _field(field: Field, limits: Limits) -> Schema:
    schema = _schema(field.read, limits)
    if field.name in _INPUTS:
        schema = {**schema, "minItems": 1, "maxItems": limits.inputs - _INPUTS[field.name]}
    elif field.name == "dimensions":
        schema = {**schema, "minimum": 1, "maximum": limits.dimensions}
    elif field.name == "prompt_name":
        schema = {**schema, "enum": limits.prompts}
    return schema if field.default is REQUIRED else _optional(schema, field.default)


def _optional(schema: Schema, default: Any) -> Schema:
    """The schema of a field that may be left out, or be null, which is the same."""
    if "type" in schema:  # without one, null is allowed as it is
        schema = {**schema, "nullable": True}
    if "enum" in schema:  # which has to name null, too
        schema = {**schema, "enum": [*schema["enum"], None]}
    return schema if default is None else {**schema, "default": default}


def _schema(read: Reader, limits: Limits) -> Schema:
    match read:
        case ArrayOf():
            return list_of(_schema(read.read, limits))
        case Struct():
            return object_schema(read.shape, limits)
        case Variant():
            return {"type": "string", "enum": list(read.values)}
    if read in _BATCHES:
        alone, batch = _BATCHES[read]
        return {"anyOf": [*alone, {**batch, "maxItems": limits.inputs}]}
    return _FUNCTIONS[read]


_IDS: Schema = {**list_of(ID), "minItems": 1}
_TEXT_OR_PAIR: Schema = {**list_of(TEXT), "minItems": 1, "maxItems": 2}
_FUNCTIONS: Mapping[Reader, Schema] = {
    anything: {},
    boolean: {"type": "boolean"},
    string: TEXT,
    unsigned: {"type": "integer", "minimum": 0, "maximum": MAX_U64},
    document: {"anyOf": [TEXT, record(text=TEXT)]},
}
# What each takes as one input, and what as several.
_BATCHES: Mapping[Reader, tuple[Sequence[Schema], Schema]] = {
    embed_input: ([TEXT, _IDS], {**list_of({"anyOf": [TEXT, _IDS]}), "minItems": 1}),
    predict_input: ([TEXT, _TEXT_OR_PAIR], {**list_of(_TEXT_OR_PAIR), "minItems": 1}),
    tokenize_input: ([TEXT], {**list_of(TEXT), "minItems": 1}),
    decode_ids: ([_IDS], {**list_of(_IDS), "minItems": 1}),
}
