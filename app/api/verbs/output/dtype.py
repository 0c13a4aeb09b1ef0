"""Output dtype: the type of number in which a request asks for its vectors.

Vectors are cut to their `dimensions`, normalized, and then quantized.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from app.api.shapes.fields import Field, Variant
from app.api.verbs.output.half_decimals import half_decimals
from app.api.verbs.rendering import groups
from app.errors import InvalidInput, ModelMismatch
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

# They need the ranges of the model's components, which are those of normalized vectors.
RANGED: frozenset[OutputDtype] = frozenset({"int8", "uint8"})


def require_dtypes(model: ServedModel, dtypes: Iterable[OutputDtype], *, normalize: bool) -> None:
    """Refuse types that a model's vectors cannot be given in, before any is computed.

    Of a model that has no dense vectors nothing is said: the engine has a better reason.

    Raises: InvalidInput; ModelMismatch.
    """
    ranged = [dtype for dtype in dtypes if dtype in RANGED]
    if ranged and not normalize:
        raise InvalidInput(
            f"Input validation error: `normalize` cannot be false for `{ranged[0]}` vectors, whose "
            "ranges are those of normalized ones"
        )
    if ranged and model.engine.task == "embedding":
        asked, own = model.settings.pooling, model.manifest.pooling
        if asked not in {None, own}:
            raise ModelMismatch(
                f"Backend error: `{ranged[0]}` vectors are not available with --pooling {asked}: "
                f"their ranges are those of {own} pooling"
            )
        quantized(np.empty((0, 1), np.float32), ranged[0], model.manifest.ranges)


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
