"""The API's description: OpenAPI 3.0.3, generated from the declarations that read the requests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app import __version__
from app.api.docs.limits import Limits
from app.api.docs.schemas import object_schema
from app.api.shapes.fields import Shape
from app.api.shapes.openapi_types import COUNT, TEXT, Named, Schema

Content = Mapping[str, Any]  # by media type


def in_json(schema: Schema) -> Content:
    """Return the content of a JSON body."""
    return {"application/json": {"schema": schema}}


def in_text() -> Content:
    """Return the content of a plain-text body."""
    return {"text/plain": {"schema": TEXT}}


def in_octets() -> Content:
    """Return the content of a body of bytes."""
    return {"application/octet-stream": {"schema": {**TEXT, "format": "binary"}}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    path: str
    method: str
    id: str
    tag: str
    summary: str
    shapes: Sequence[Shape] = ()  # shapes that its body may have
    examples: Mapping[str, Any] = field(default_factory=dict)  # of its body, by what they show
    other_bodies: Content = field(default_factory=dict)  # media types that it takes beside JSON
    headers: Mapping[str, str] = field(default_factory=dict)  # with numbers, and their meaning
    answer: Content = field(default_factory=dict)  # empty for an empty body
    error: Content = field(default_factory=dict)  # when the body is refused
    unreadable: Content = field(default_factory=in_text)  # when the body cannot be read
    unhealthy: Content = field(default_factory=dict)  # content of 503
    body: Content = field(default_factory=dict)  # content of a body without a shape
    parameter: str = ""  # the name of a parameter in its path
    query: Mapping[str, Schema] = field(default_factory=dict)  # optional parameters of its query
    keeps: bool = False  # whether it is about files and batches on the disk
    needs_key: bool = True
    runs_model: bool = False  # whether it uses the model, which may be unsuited or overloaded


def describe(
    operations: Iterable[Operation], limits: Limits, *, has_key: bool, base: str = ""
) -> dict[str, Any]:
    """Return the whole document of the operations, whose paths are below `base`."""
    paths: dict[str, dict[str, Any]] = {}
    tags: dict[str, None] = {}
    for operation in operations:
        path = paths.setdefault(operation.path, {})
        path[operation.method] = _operation(
            operation, limits, has_key=has_key and operation.needs_key
        )
        tags[operation.tag] = None
    schemas: dict[str, Schema] = {}
    paths = _referring(paths, schemas)
    components: dict[str, Any] = {"schemas": dict(sorted(schemas.items()))}
    if has_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    return {
        "openapi": "3.0.3",
        "info": {
            "title": "Embedding service",
            "description": "Text Embeddings Inference's API, OpenAI's embeddings, and reranking.",
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
            "version": __version__,
        },
        **({"servers": [{"url": base}]} if base else {}),
        "tags": [{"name": tag} for tag in tags],
        "paths": paths,
        "components": components,
    }


def _operation(operation: Operation, limits: Limits, *, has_key: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "operationId": operation.id,
        "responses": _responses(operation, has_key),
    }
    if parameters := _parameters(operation):
        described["parameters"] = parameters
    if operation.shapes:
        described["requestBody"] = {
            "description": f"At most {limits.body_bytes} bytes.",
            "required": True,
            "content": _body(operation, limits),
        }
    if operation.body:
        described["requestBody"] = {"required": True, "content": operation.body}
    if has_key:
        described["security"] = [{"key": []}]
    return described


def _parameters(operation: Operation) -> list[Schema]:
    path = {"name": operation.parameter, "in": "path", "required": True, "schema": TEXT}
    in_query = [
        {"name": name, "in": "query", "required": False, "schema": schema}
        for name, schema in operation.query.items()
    ]
    in_headers = [
        {"name": name, "in": "header", "description": what, "schema": COUNT}
        for name, what in operation.headers.items()
    ]
    return [*([path] if operation.parameter else ()), *in_query, *in_headers]


def _body(operation: Operation, limits: Limits) -> Content:
    named = [object_schema(shape, limits) for shape in operation.shapes]
    examples = {name: {"value": value} for name, value in operation.examples.items()}
    schema: Schema = named[0] if len(named) == 1 else {"anyOf": named}
    return {"application/json": {"schema": schema, "examples": examples}, **operation.other_bodies}


def _responses(operation: Operation, has_key: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"200": _response("the answer", operation.answer)}
    if has_key:
        found["401"] = _response("no key, or another")
    if operation.parameter or operation.keeps:
        what = "such thing of this key" if operation.keeps else "such model"
        found["404"] = _response(f"there is no {what}", operation.error)
    if operation.unhealthy:
        found["503"] = _response("the model does not answer", operation.unhealthy)
    if operation.shapes:
        unreadable = operation.unreadable
        either = {**operation.error, **unreadable}
        found |= {
            "400": _response("no JSON, or nothing in it", either),
            "408": _response("the body came too slowly", unreadable),
            "413": _response("the body is too large; --payload-limit says how large", unreadable),
            "415": _response("the body is not declared as JSON", unreadable),
            "422": _response("a value that cannot be taken", either),
            "429": _response("too much at a time; try again", operation.error),
            "504": _response("the client's deadline has passed", operation.error),
        }
    if operation.keeps:
        found["400"] = _response("a value that cannot be taken", operation.error)
        found["507"] = _response("the disk is full, or fails", operation.error)
    if operation.body:
        found |= {
            "408": _response("the body came too slowly", operation.error),
            "413": _response("the body is too large", operation.error),
            "415": _response("the body is of another type", operation.error),
            "429": _response("too much at a time; try again", operation.error),
        }
    if operation.runs_model:
        found |= {
            "424": _response("the model cannot do this", operation.error),
        }
    return found


def _response(description: str, content: Content | None = None) -> dict[str, Any]:
    return {"description": description, **({"content": content} if content else {})}


def _referring(value: Any, schemas: dict[str, Schema]) -> Any:
    """Replace named schemas by references, and add them to `schemas`."""
    if isinstance(value, Named):
        schema = {key: _referring(one, schemas) for key, one in value.items()}
        assert schemas.setdefault(value.name, schema) == schema, value.name
        return {"$ref": f"#/components/schemas/{value.name}"}
    if isinstance(value, Mapping):
        return {key: _referring(one, schemas) for key, one in value.items()}
    return [_referring(one, schemas) for one in value] if isinstance(value, list) else value
