"""The API's description: OpenAPI 3.0.3, made of the declarations that read the requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app import __version__
from app.api.cohere import document
from app.api.fields import (
    MAX_U32,
    MAX_U64,
    REQUIRED,
    ArrayOf,
    Nullable,
    Reader,
    Shape,
    Struct,
    Variant,
    anything,
    boolean,
    decode_ids,
    embed_input,
    predict_input,
    string,
    tokenize_input,
    unsigned,
)
from app.api.verb import TEXT, Schema, list_of, record

ID: Schema = {"type": "integer", "minimum": 0, "maximum": MAX_U32}
ANY: Schema = {"type": "object"}
ERROR = record(error=TEXT, error_type=TEXT)
OPENAI_ERROR = record(message=TEXT, code={"type": "integer"}, type=TEXT, error={"type": "object"})


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path."""

    path: str
    method: str
    summary: str
    shape: Shape | None  # of its body
    answer: Schema | None  # of its JSON answer; None where that is empty or text
    error: Schema  # of its JSON errors
    needs_key: bool


def describe(operations: Sequence[Operation], *, has_key: bool) -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = paths.setdefault(operation.path, {})
        path[operation.method.lower()] = _operation(operation, has_key and operation.needs_key)
    components: dict[str, Any] = {}
    if has_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Embedding service",
            "description": "Text Embeddings Inference's API, OpenAI's embeddings, and reranking.",
            "license": {"name": "Apache-2.0"},
            "version": __version__,
        },
        "paths": paths,
        "components": components,
    }


def _operation(operation: Operation, has_key: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.summary,
        "responses": _responses(operation, has_key),
    }
    if operation.shape is not None:
        schema = _object(operation.shape)
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": schema}},
        }
    if has_key:
        described["security"] = [{"key": []}]
    return described


def _responses(operation: Operation, has_key: bool) -> dict[str, Any]:
    in_json = {"application/json": {"schema": operation.error}}
    in_text = {"text/plain": {"schema": TEXT}}
    found: dict[str, Any] = {"200": {"description": "the answer"}}
    if operation.answer is not None:
        found["200"]["content"] = {"application/json": {"schema": operation.answer}}
    if has_key:
        found["401"] = {"description": "no key, or another"}
    if operation.path == "/health":
        found["503"] = {"description": "the model does not answer", "content": in_json}
    if operation.shape is not None:
        found |= {
            "400": {"description": "no JSON, or nothing in it", "content": in_json | in_text},
            "413": {"description": "the body is too large", "content": in_text},
            "415": {"description": "the body is not declared as JSON", "content": in_text},
            "422": {"description": "a value that cannot be taken", "content": in_json | in_text},
            "424": {"description": "the model cannot do this", "content": in_json},
            "429": {"description": "too much at a time; try again", "content": in_json},
        }
    return found


def _object(shape: Shape) -> Schema:
    fields = shape.fields.values()
    described: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: _field(field.read, field.default) for field in fields},
    }
    required = [field.name for field in fields if field.default is REQUIRED]
    return {**described, "required": required} if required else described


def _field(read: Reader, default: Any) -> Schema:
    return _schema(read) if default in {REQUIRED, None} else {**_schema(read), "default": default}


def _schema(read: Reader) -> Schema:
    match read:
        case Nullable():
            return {**_schema(read.read), "nullable": True}
        case ArrayOf():
            return list_of(_schema(read.read))
        case Struct():
            return _object(read.shape)
        case Variant():
            return {"type": "string", "enum": list(read.values)}
    return _FUNCTIONS[read]


_TEXT_OR_PAIR: Schema = {**list_of(TEXT), "minItems": 1, "maxItems": 2}
_FUNCTIONS: Mapping[Reader, Schema] = {
    anything: {},
    boolean: {"type": "boolean"},
    string: TEXT,
    unsigned: {"type": "integer", "minimum": 0, "maximum": MAX_U64},
    embed_input: {"anyOf": [TEXT, list_of(ID), list_of({"anyOf": [TEXT, list_of(ID)]})]},
    predict_input: {"anyOf": [TEXT, _TEXT_OR_PAIR, {**list_of(_TEXT_OR_PAIR), "minItems": 1}]},
    tokenize_input: {"anyOf": [TEXT, list_of(TEXT)]},
    decode_ids: {"anyOf": [list_of(ID), list_of(list_of(ID))]},
    document: {"anyOf": [TEXT, record(text=TEXT)]},
}
