"""Input fields: those that several verbs share, on how inputs are read."""

from typing import Any

from app.api.shapes.fields import Field, Variant, boolean, string
from app.inference.admission import InputOptions

DIRECTION = Variant(
    "one of `Left`, `left`, `Right`, `right`",
    {"Left": "left", "left": "left", "Right": "right", "right": "right"},
    "TruncationDirection",
)
TRUNCATE = Field("truncate", boolean, None, filled=True)
TRUNCATION_DIRECTION = Field("truncation_direction", DIRECTION, None, filled=True)
PROMPT_NAME = Field("prompt_name", string, None)


def input_options(values: dict[str, Any]) -> InputOptions:
    """Return the input options among a body's fields."""
    overflow: str | None = values.get("overflow")
    return InputOptions(
        truncate=values["truncate"] if overflow in {None, "mean"} else overflow == "truncate",
        direction=values.get("truncation_direction"),
        prompt_name=values.get("prompt_name"),
        averages_windows=overflow == "mean",
    )
