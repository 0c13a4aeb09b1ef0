"""OpenAPI types: the parts of answers in the terms of OpenAPI 3.0.3."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]


class Named(dict[str, Any]):
    """A schema that is a component of the description, under a name that generated clients use.

    TEI's components have TEI's names.
    """

    def __init__(self, name: str, schema: Schema) -> None:
        super().__init__(schema)
        self.name = name


NUMBER: Schema = {"type": "number"}
TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}


def list_of(items: Schema) -> Schema:
    """Return the schema of an array."""
    return {"type": "array", "items": items}


def record(**properties: Schema) -> Schema:
    """Return the schema of an object that has all of these properties."""
    return {"type": "object", "properties": properties, "required": list(properties)}


USAGE = Named("OpenAICompatUsage", record(prompt_tokens=COUNT, total_tokens=COUNT))
