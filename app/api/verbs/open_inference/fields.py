"""Fields: those of an inference request, and the schema of its answer."""

from typing import Any

from app.api.shapes.fields import ArrayOf, Field, Misfit, Shape, Struct, boolean, string, unsigned
from app.api.shapes.openapi_types import COUNT, NUMBER, TEXT, Named, list_of
from app.api.verbs.input_fields import PROMPT_NAME, TRUNCATE, TRUNCATION_DIRECTION


def elements(value: Any) -> list[str]:
    """Read the texts of a tensor, flat or in rows of one."""
    if type(value) is not list:
        raise Misfit("expected an array of strings")
    flat = [one[0] if type(one) is list and len(one) == 1 else one for one in value]
    if not all(type(one) is str for one in flat):
        raise Misfit("expected an array of strings, or of arrays of one string each")
    return flat


PARAMETERS = Shape(
    "InferParameters",
    TRUNCATE,
    TRUNCATION_DIRECTION,
    PROMPT_NAME,
    Field("normalize", boolean, None),
    Field("dimensions", unsigned, None),
    Field("raw_scores", boolean, None),
    Field("binary_data_output", boolean, None),
)
INPUT = Shape(
    "InferInput",
    Field("name", string),
    Field("shape", ArrayOf(unsigned)),
    Field("datatype", string),
    Field(
        "parameters",
        Struct(
            Shape(
                "InferInputParameters",
                Field("binary_data_size", unsigned, None),
                Field("shared_memory_region", string, None),
            )
        ),
        None,
    ),
    Field("data", elements, None),
)
OUTPUT = Shape(
    "InferRequestedOutput",
    Field("name", string),
    Field(
        "parameters",
        Struct(
            Shape(
                "InferOutputParameters",
                Field("binary_data", boolean, None),
                Field("classification", unsigned, None),
                Field("shared_memory_region", string, None),
            )
        ),
        None,
    ),
)
TENSORS = Field("inputs", ArrayOf(Struct(INPUT)))
INFER = Shape(
    "InferRequest",
    Field("id", string, None),
    Field("parameters", Struct(PARAMETERS), None),
    TENSORS,
    Field("outputs", ArrayOf(Struct(OUTPUT)), None),
)
NO_PARAMETERS = PARAMETERS.read({})  # every default
TENSOR = Named(
    "InferOutput",
    {
        "type": "object",
        "properties": {
            "name": TEXT,
            "datatype": TEXT,
            "shape": list_of(COUNT),
            "parameters": {"type": "object"},
            "data": list_of(NUMBER),
        },
        "required": ["name", "datatype", "shape"],
    },
)
ANSWER = Named(
    "InferResponse",
    {
        "type": "object",
        "properties": {
            "model_name": TEXT,
            "model_version": TEXT,
            "id": TEXT,
            "outputs": list_of(TENSOR),
        },
        "required": ["model_name", "model_version", "outputs"],
    },
)
