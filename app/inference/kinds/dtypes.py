"""Dtypes: which types of number the dense vectors of a model can be given in."""

from collections.abc import Iterable

import numpy as np

from app.errors import InvalidInput, ModelMismatch
from app.inference.served_model import ServedModel
from app.model.names import OutputDtype
from app.model.quantization import quantized

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
