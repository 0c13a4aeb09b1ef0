"""Tensors: those that a model takes and yields, and the texts in those of a request."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from app.api.verbs.open_inference.binary import Binary, texts
from app.errors import InvalidInput
from app.inference.served_model import ServedModel
from app.model.manifest import Manifest

TEXT, QUERY = "text", "query"
TEXTS, NUMBERS = "BYTES", "FP32"


def input_names(manifest: Manifest) -> Sequence[str]:
    """Return the names of a model's inputs: a reranker compares each text with a query."""
    return (QUERY, TEXT) if manifest.task == "reranker" else (TEXT,)


def output_name(manifest: Manifest) -> str:
    """Return the name of a model's output."""
    return "scores" if manifest.task in {"classifier", "reranker"} else "embedding"


def described(manifest: Manifest) -> dict[str, Any]:
    """Return a model's inputs and outputs in the protocol's terms; -1 is a length that varies.

    A late-interaction model has no vector for a whole text, so no output.
    """
    inputs = [{"name": name, "datatype": TEXTS, "shape": [-1]} for name in input_names(manifest)]
    output = {"datatype": NUMBERS, "shape": [-1, manifest.dimensions]}
    outputs = [] if manifest.task == "multi_vector" else [{"name": output_name(manifest), **output}]
    return {"inputs": inputs, "outputs": outputs}


def columns(
    tensors: Sequence[Mapping[str, Any]], model: ServedModel, binary: Binary
) -> Mapping[str, list[str]]:
    """Return the texts of each input of a model by its name.

    Raises: InvalidInput for inputs that are not the model's; MalformedTensor for their binary data;
    BatchTooLarge before more than a request may have are read.
    """
    expected = input_names(model.manifest)
    found: dict[str, list[str]] = {}
    for tensor in tensors:
        name = tensor["name"]
        if name not in expected:
            raise _fault(f"there is no input {_shown(name)}, but {_listed(expected)}")
        if name in found:
            raise _fault(f"the input `{name}` is given twice")
        count = _count(tensor)
        model.engine.admission.require_size(count)
        found[name] = _texts(tensor, count, binary)
    binary.require_end()
    if missing := [name for name in expected if name not in found]:
        raise _fault(f"the input {_listed(missing)} is missing")
    return found


def pairs(queries: list[str], found: list[str]) -> Iterator[tuple[str, str]]:
    """Return each text with its query: one for all, or one for each.

    Raises: InvalidInput for another number of queries.
    """
    if len(queries) not in {1, len(found)}:
        raise _fault(
            f"`{QUERY}` has {len(queries)} elements and `{TEXT}` {len(found)}: give one query, or "
            "one for each text"
        )
    each = queries * len(found) if len(queries) == 1 else queries
    return zip(each, found, strict=True)


def _count(tensor: Mapping[str, Any]) -> int:
    """Return the number of texts of an input. Raises: InvalidInput for another type or shape."""
    name, datatype, shape = tensor["name"], tensor["datatype"], tensor["shape"]
    if datatype != TEXTS:
        raise _fault(f"`{name}` has the datatype {_shown(datatype)}, and must have `{TEXTS}`")
    if not 1 <= len(shape) <= 2 or shape[1:] not in ([], [1]):
        raise _fault(f"`{name}` has the shape {str(shape[:34])[:100]}, and must have [n] or [n, 1]")
    count: int = shape[0]
    return count


def _texts(tensor: Mapping[str, Any], count: int, binary: Binary) -> list[str]:
    name, data, parameters = tensor["name"], tensor["data"], tensor["parameters"] or {}
    size: int | None = parameters.get("binary_data_size")
    if parameters.get("shared_memory_region") is not None:
        raise _fault(f"`{name}` is in shared memory, which cannot be read here")
    if (data is None) is (size is None):
        raise _fault(f"`{name}` needs either `data` or a `binary_data_size`")
    if size is not None:
        return texts(binary.take(size, name), count, name)
    if len(data) != count:
        raise _fault(f"`{name}` has {len(data)} elements in `data`, and {count} by its shape")
    found: list[str] = data
    return found


def _listed(names: Sequence[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def _shown(text: str) -> str:
    return f"`{text}`" if len(text) <= 100 else f"`{text[:100]}…`"


def _fault(message: str) -> InvalidInput:
    return InvalidInput(f"Input validation error: {message}")
