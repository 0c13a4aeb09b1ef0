"""The API's description, with components written out where they are named."""

from typing import Any

from starlette.types import ASGIApp

from tools.asgi import request


def document_of(app: ASGIApp) -> Any:
    """The whole description."""
    return request(app, "GET", "/api-doc/openapi.json", headers={}).json


def expanded(document: Any, schema: Any) -> Any:
    """The schema, with every component that it names written out."""
    if isinstance(schema, list):
        return [expanded(document, one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        *_, name = schema["$ref"].split("/")
        return expanded(document, document["components"]["schemas"][name])
    found = {key: expanded(document, one) for key, one in schema.items()}
    [whole] = found.pop("allOf", [{}])
    return whole | found
