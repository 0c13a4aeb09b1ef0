"""API page: every route in Markdown, made of the OpenAPI document that the service serves."""

import asyncio
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.application import build, create_app
from app.options.settings import Settings
from tools import tiny
from tools.asgi import request

# The meaning of a field, on every route; `dimensions` and prompts depend on the model.
MEANINGS: Mapping[str, str] = {
    "add_special_tokens": "put the model's special tokens around each text",
    "completion_window": "how long the batch may take: `24h`",
    "dimensions": "the number of components to keep, before normalizing",
    "documents": "texts to rank, or objects with a `text`",
    "embedding_types": "the types of number to answer in",
    "encoding_format": "numbers, or their bytes in base64",
    "endpoint": "the route that answers each line: `/v1/embeddings`",
    "file": "JSON Lines, one request each",
    "id": "returned with the answer",
    "ids": "token ids",
    "images": "not supported: must be empty",
    "include": "more keys in each entry of `data`",
    "input": "what to compute",
    "input_file_id": "the file with the requests",
    "input_type": "chooses the model's prompt or route of that meaning",
    "inputs": "what to compute",
    "late_chunking": "the inputs are consecutive chunks of one text ([long texts](long-texts.md))",
    "max_tokens": "accepted if it is not below the model's longest input",
    "metadata": "kept with the batch",
    "model": "the name or id of a served model; the first one unless given",
    "normalize": "bring vectors to length 1",
    "output_dimension": "the number of components to keep, before normalizing",
    "output_dtype": "the type of number ([output types](output-types.md))",
    "output_types": "several kinds of vectors from one pass of the model",
    "output_expires_after": "when the results are deleted",
    "outputs": "the outputs to return, and their form; all unless given",
    "overflow": "what becomes of a text that is too long ([long texts](long-texts.md))",
    "parameters": "`truncate`, `truncation_direction` and `prompt_name`",
    "priority": "accepted, changes nothing",
    "prompt_name": "the prompt to put before each input",
    "purpose": "`batch`",
    "query": "the text to rank by",
    "raw_scores": "logits instead of probabilities",
    "return_documents": "return the documents beside their scores",
    "return_text": "return the texts beside their scores",
    "skip_special_tokens": "leave special tokens out",
    "spans": "a vector for each chunk of the text ([long texts](long-texts.md))",
    "texts": "the texts",
    "top_n": "the number of results to return",
    "truncate": "cut what is too long instead of refusing it; `--auto-truncate` unless given",
    "truncation_direction": "the side that is cut",
    "user": "accepted, changes nothing",
}
# Inputs of several shapes, in words.
SAID: Mapping[str, str] = {
    "CohereEmbedInput": "objects with `content`",
    "Document": "strings or objects",
    "InferRequestedOutput": "objects with `name`",
    "InferRequestedInput": "tensors: `name`, `shape`, `datatype` and `data`",
    "Input": "string, ids, or array of them",
    "InputIds": "ids, or array of ids",
    "OpenAICompatInput": "string, ids, or array of them",
    "PredictInput": "string, pair, or array of them",
    "SimilarityInput": "object with `source_sentence` and `sentences`",
    "SimilarityParameters": "object",
    "TokenizeInput": "string, or array of strings",
}


def document() -> Any:
    """Return the OpenAPI document of a service with batches, over a tiny model."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "model"
        tiny.build(folder, "embedding", whole=True)
        settings = Settings(model_id=str(folder), batch_dir=Path(made) / "batches")
        service = build(settings, folder)
        app = create_app(service, settings)
        described = request(app, "GET", "/api-doc/openapi.json", headers={}).json
        asyncio.run(service.model.close())
    return described


def api_lines(openapi: Any) -> list[str]:
    """Return a section for each tag with its routes, and the table of errors."""
    lines: list[str] = []
    tables: dict[str, str] = {}  # of fields, and the first route that has each
    for tag in openapi["tags"]:
        lines += [f"## {tag['name']}", ""]
        for path, method, operation in operations(openapi):
            if tag["name"] not in operation["tags"]:
                continue
            route = f"{method.upper()} {path}"
            lines += [f"### {route}", "", operation["summary"], ""]
            if table := "\n".join(_fields(operation, openapi["components"]["schemas"])):
                first = tables.setdefault(table, route)
                same = f"Its fields are those of `{first}`."
                lines += [*(table.splitlines() if first == route else [same]), ""]
            if errors := [status for status in sorted(operation["responses"]) if status != "200"]:
                lines += [f"Errors: {', '.join(errors)}.", ""]
    return [*lines, *_errors(openapi)]


def operations(openapi: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield each path, method and operation, in the document's order."""
    for path, methods in openapi["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def _fields(operation: Any, schemas: Mapping[str, Any]) -> Iterator[str]:
    """Yield the table of the body's fields, one for each shape that it may have."""
    for place, fields in enumerate(_bodies(operation, schemas)):
        if place:
            yield from ("", "Or:", "")
        yield "| field | type | default | meaning |"
        yield "|---|---|---|---|"
        for name, schema in fields["properties"].items():
            default = _default(name, schema, fields)
            yield f"| `{name}` | {_type(schema, schemas)} | {default} | {MEANINGS[name]} |"


def _bodies(operation: Any, schemas: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the declaration of each shape that a request's body may have."""
    if "requestBody" in operation:
        content, *_ = operation["requestBody"]["content"].values()
        for one in content["schema"].get("anyOf", [content["schema"]]):
            yield schemas[_name(one)] if "$ref" in one else one


def _default(name: str, schema: Any, fields: Any) -> str:
    if name in fields.get("required", []):
        return "required"
    value = schema.get("default")
    return "" if value is None else f"`{str(value).lower() if value in (True, False) else value}`"


def _name(reference: Any) -> str:
    return str(reference["$ref"].rpartition("/")[2])


def _type(schema: Any, schemas: Mapping[str, Any]) -> str:
    """Return the type of a value in a few words."""
    [schema] = schema.get("allOf", [schema])
    if "$ref" in schema:
        name = _name(schema)
        return SAID[name] if name in SAID else _type(schemas[name], schemas)
    if "enum" in schema:
        return ", ".join(f"`{one}`" for one in schema["enum"])
    if schema.get("type") == "array":
        items = schema["items"]
        if items.get("type") == "array":
            return "array of pairs"
        inner = _type(items, schemas)
        return f"array of {inner}s" if inner in {"string", "integer"} else f"array of {inner}"
    return str(schema.get("type", "any"))


def _errors(openapi: Any) -> Iterator[str]:
    """Yield the table of all statuses that are errors, and what each means."""
    meanings = {
        status: response["description"]
        for _, _, operation in operations(openapi)
        for status, response in operation["responses"].items()
        if status != "200"
    }
    yield "## Errors"
    yield ""
    yield "| status | meaning |"
    yield "|---|---|"
    for status, meaning in sorted(meanings.items()):
        yield f"| {status} | {meaning} |"
