"""Output dtype: the type of number in which a request asks for its vectors.

Vectors are cut to their `dimensions`, normalized, and then quantized.
"""

import asyncio
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from app.api.shapes.fields import Field, Variant
from app.api.verbs.output.half_decimals import half_decimals
from app.api.verbs.rendering import groups
from app.inference.computing import Computed
from app.inference.engine import Vectors
from app.inference.served_model import ServedModel
from app.model.names import OutputDtype
from app.model.quantization import quantized

OUTPUT_DTYPE = Field(
    "output_dtype",
    Variant(
        f"one of {', '.join(f'`{name}`' for name in get_args(OutputDtype))}",
        {name: name for name in get_args(OutputDtype)},
        "OutputDtype",
    ),
    "float",
    added=True,
)
TypedVectors = Computed[NDArray[Any]]  # (N, W), of any type


async def in_dtype(model: ServedModel, computed: Vectors, dtype: OutputDtype) -> TypedVectors:
    """Return an answer with its vectors (N, d) in another type, giving other tasks their turns.

    Raises: NotFinite for values that the type cannot hold.
    """
    if dtype == "float":
        return computed
    return replace(computed, value=await quantized_in_turns(model, computed.value, dtype))


async def quantized_in_turns(
    model: ServedModel, vectors: NDArray[np.float32], dtype: OutputDtype
) -> NDArray[Any]:
    """Return vectors (N, d) in another type, giving other tasks their turns.

    Raises: NotFinite for values that the type cannot hold.
    """
    parts: list[NDArray[Any]] = []
    first = 0
    for group in groups(vectors):
        parts.append(quantized(group, dtype, model.manifest.ranges, first))
        first += len(group)
        await asyncio.sleep(0)
    return np.concatenate(parts)


def numbers(rows: NDArray[Any]) -> NDArray[Any]:
    """Return what a JSON writer is to be given for rows of any type."""
    return half_decimals(rows) if rows.dtype == np.float16 else rows
