"""Embed a column of a dataset: an actor class for `ray.data.Dataset.map_batches`."""

import os
from typing import Any

import numpy as np
import pyarrow as pa
from reserved import settings

from app.bulk.computing import VectorOptions
from app.bulk.embedder import Embedder, Vectors
from app.model.names import OutputDtype


class EmbedColumn:
    """Adds the column `vector` to Arrow tables, and `error`, which says why a row has none.

    The model is loaded and proved once an actor. Options are the service's: `model_id="…"`.
    """

    def __init__(
        self,
        column: str = "text",
        *,
        dimensions: int | None = None,
        normalize: bool = True,
        output_dtype: OutputDtype = "float",
        **options: Any,
    ) -> None:
        """Open and prove the model. Raises: UsageError or StartupError."""
        self._column = column
        wanted = VectorOptions(dimensions, normalize, output_dtype)
        self._embedder = Embedder.open(settings(options), os.environ, wanted)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Add the two columns. Raises: KeyError for a table without the column of texts."""
        found = self._embedder.embed_each(table.column(self._column).to_pylist())
        return table.append_column("vector", _lists(found)).append_column("error", _reasons(found))


def _lists(found: Vectors) -> pa.Array:
    """Return lists of fixed size, null for a row at fault."""
    count, width = found.values.shape
    mask = np.zeros(count, bool)
    mask[list(found.faults)] = True
    numbers = pa.array(found.values.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(numbers, width, mask=pa.array(mask))


def _reasons(found: Vectors) -> pa.Array:
    return pa.array([found.faults.get(row) for row in range(len(found.values))], pa.string())
