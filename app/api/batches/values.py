"""Values: the valid fields of a new file or batch."""

from collections.abc import Mapping
from typing import Any

from app.batches.objects import BatchError

ENDPOINT = "/v1/embeddings"
WINDOW = "24h"
SHORTEST_KEPT, LONGEST_KEPT = 3600, 2_592_000  # seconds
MOST_PAIRS, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512


def required(values: Mapping[str, Any], name: str) -> str:
    """Return a text that must be there. Raises: BatchError."""
    found = values.get(name)
    if found is None:
        message = f"Missing required parameter: '{name}'."
        raise BatchError(400, message, param=name, code="missing_required_parameter")
    if type(found) is not str:
        raise BatchError(400, f"'{name}' must be a string.", param=name, code="invalid_type")
    return found


def only(values: Mapping[str, Any], name: str, value: str) -> str:
    """Return a text that can be nothing else. Raises: BatchError."""
    found = required(values, name)
    if found != value:
        message = f"Invalid value: '{found[:64]}'. Supported values are: '{value}'."
        raise BatchError(400, message, param=name, code="invalid_value")
    return found


def metadata(value: object) -> dict[str, str] | None:
    """Return the pairs that a client attaches, or None. Raises: BatchError."""
    if value is None:
        return None
    is_fit = isinstance(value, dict) and len(value) <= MOST_PAIRS
    if not (isinstance(value, dict) and is_fit and all(map(_is_pair, value.items()))):
        raise BatchError(
            400,
            f"'metadata' must have at most {MOST_PAIRS} pairs, with keys of at most {LONGEST_KEY} "
            f"and values of at most {LONGEST_VALUE} characters.",
            param="metadata",
        )
    return value


def expiry(value: object, name: str) -> int | None:
    """Return for how many seconds a file is to be kept, or None. Raises: BatchError."""
    if value is None:
        return None
    if isinstance(value, dict) and value.get("anchor") == "created_at":
        seconds = value.get("seconds")
        if type(seconds) is int and SHORTEST_KEPT <= seconds <= LONGEST_KEPT:
            return seconds
    raise BatchError(
        400,
        f"'{name}' must have the anchor 'created_at', and {SHORTEST_KEPT} to {LONGEST_KEPT} "
        "seconds.",
        param=name,
    )


def _is_pair(pair: tuple[object, object]) -> bool:
    key, value = pair
    is_text = isinstance(key, str) and isinstance(value, str)
    return is_text and len(str(key)) <= LONGEST_KEY and len(str(value)) <= LONGEST_VALUE
