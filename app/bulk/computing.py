"""Computing: the vectors of a chunk; rows at fault are found and rejected one by one."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from app.bulk.chunks import ROWS, WINDOW, Chunk
from app.bulk.rows import JobError, Rejected, Row
from app.errors import ServiceError, StartupError
from app.inference.admission import InputOptions
from app.inference.engine import PROBE_TEXT
from app.inference.kinds.dtypes import require_dtypes
from app.inference.served_model import ServedModel
from app.model.names import OutputDtype
from app.model.quantization import Quantized, quantized
from app.options.settings import Settings
from app.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class VectorOptions:
    """The vectors that are asked of the model."""

    dimensions: int | None = None  # the number of leading ones kept; None for all
    normalize: bool = True
    dtype: OutputDtype = "float"


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """A chunk with its vectors."""

    rows: list[Row]
    vectors: Quantized  # (N, W), one for each row
    rejected: list[Rejected]  # in the order of the inputs
    next_row: int
    tokens: int


def opened(folder: Path, settings: Settings) -> ServedModel:
    """Open an exported model that takes a window of chunks at a time.

    Raises: StartupError with the cause.
    """
    roomy = replace(settings, max_concurrent_requests=2 * WINDOW * ROWS, max_client_batch_size=ROWS)
    metrics = Metrics()
    model = ServedModel.open(folder, roomy, metrics)
    metrics.bound_input_length(model.loaded.max_input_length)
    return model


async def embedded(model: ServedModel, chunk: Chunk, options: VectorOptions) -> Embedded:
    """Compute the vectors of a chunk's rows, and reject those that the model cannot take.

    Raises: JobError if the model fails whatever it is given.
    """
    parts: list[tuple[Row, Quantized]] = []
    rejected = list(chunk.rejected)
    tokens = 0
    waiting = [chunk.rows] if chunk.rows else []
    while waiting:
        rows = waiting.pop()
        try:
            vectors, counts = await _vectors(model, rows, options)
        except ServiceError as error:
            if len(rows) > 1:  # the first half comes next, so rows stay in their order
                middle = len(rows) // 2
                waiting += [rows[middle:], rows[:middle]]
                continue
            await _require_sound(model, error)
            [row] = rows
            rejected.append(Rejected(row.number, row.place, row.id, str(error)))
        else:
            parts += zip(rows, vectors, strict=True)
            tokens += sum(counts)
    rejected.sort(key=lambda one: one.number)
    rows = [row for row, _ in parts]
    found = np.stack([vector for _, vector in parts]) if parts else np.empty((0, 0), np.float32)
    return Embedded(rows, found, rejected, chunk.next_row, tokens)


async def require_vectors(model: ServedModel, options: VectorOptions) -> Quantized:
    """Compute one text, (1, W), so that a job whose every row would be rejected does not begin.

    Raises: StartupError with what the model or the options lack.
    """
    try:
        require_dtypes(model, [options.dtype], normalize=options.normalize)
        vectors, _ = await _vectors(model, [Row(0, "", "", PROBE_TEXT)], options)
    except ServiceError as error:
        raise StartupError(f"the model cannot give these vectors: {error}") from None
    return vectors


async def _vectors(
    model: ServedModel, rows: list[Row], options: VectorOptions
) -> tuple[Quantized, tuple[int, ...]]:
    """Return the vectors of rows, and how many tokens each has."""
    computed = await model.engine.embed(
        [row.text for row in rows],
        InputOptions(),
        normalize=options.normalize,
        dimensions=options.dimensions,
    )
    vectors = quantized(computed.value, options.dtype, model.manifest.ranges)
    return vectors, computed.token_counts


async def _require_sound(model: ServedModel, failure: ServiceError) -> None:
    """Raise JobError if the model cannot compute a plain text either."""
    if failure.status < 500 and failure.error_type not in {"Backend", "Overloaded"}:
        return
    try:
        await model.engine.probe()
    except ServiceError as error:
        raise JobError(f"the model computes nothing any more: {error}") from None
