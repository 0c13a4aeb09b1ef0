"""Vectors of chunks with invalid rows, and of a model that always fails."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.bulk.chunks import Chunk
from app.bulk.computing import Embedded, VectorOptions, embedded
from app.bulk.rows import JobError, Rejected, Row
from app.inference.served_model import ServedModel
from app.options.settings import Settings
from app.telemetry.metrics import Metrics

PLAIN = VectorOptions(dimensions=None, normalize=True)


@pytest.fixture(scope="module")
def model_of(tiny_model: Path) -> Callable[[], ServedModel]:
    settings = Settings(model_id=str(tiny_model), auto_truncate=False, provider="cpu")
    return lambda: ServedModel.open(tiny_model, settings, Metrics())


def chunk(*texts: str) -> Chunk:
    made = Chunk()
    for number, text in enumerate(texts):
        made.add(Row(number, f"f:{number}", f"id-{number}", text))
    return made


def of(model: ServedModel, made: Chunk, options: VectorOptions = PLAIN) -> Embedded:
    async def compute() -> Embedded:
        try:
            return await embedded(model, made, options)
        finally:
            await model.close(1.0)

    return asyncio.run(compute())


def test_vectors_in_the_order_of_the_rows(model_of: Callable[[], ServedModel]) -> None:
    found = of(model_of(), chunk("a", "b c d", "e"), VectorOptions(dimensions=4, normalize=False))
    assert [row.text for row in found.rows] == ["a", "b c d", "e"]
    assert found.vectors.shape == (3, 4)
    assert (found.rejected, found.next_row) == ([], 3)
    assert found.tokens > 5


def test_rows_at_fault_are_rejected_and_cost_no_other(model_of: Callable[[], ServedModel]) -> None:
    texts = ["a"] * 21
    texts[3] = texts[4] = texts[20] = ""
    texts[11] = "too long " * 5000
    made = chunk(*texts)
    made.rejected.append(Rejected(7, "f:7", None, "found while reading"))
    made.rows.pop(7)
    found = of(model_of(), made)
    assert [one.number for one in found.rejected] == [3, 4, 7, 11, 20]
    assert found.rejected[0] == Rejected(
        3, "f:3", "id-3", "Input validation error: `inputs` cannot be empty"
    )
    assert "must have less than" in found.rejected[3].reason
    kept = [number for number in range(21) if number not in {3, 4, 7, 11, 20}]
    assert [row.number for row in found.rows] == kept
    assert found.vectors.shape[0] == len(kept)
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1)


def test_a_chunk_of_rejected_rows_alone(model_of: Callable[[], ServedModel]) -> None:
    found = of(model_of(), chunk(""))
    assert (found.rows, len(found.rejected), len(found.vectors)) == ([], 1, 0)


def test_a_model_that_is_lost_rejects_nothing(model_of: Callable[[], ServedModel]) -> None:
    model = model_of()
    model.worker.close(1.0)
    with pytest.raises(JobError, match=r"the model computes nothing any more: .*shutting down"):
        of(model, chunk("a", "b"))


def test_a_vector_that_its_type_cannot_hold_is_rejected(
    model_of: Callable[[], ServedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of()
    real = model.engine.embed
    plain = VectorOptions(None, normalize=False, dtype="float16")

    async def embed(inputs: Sequence[Any], *others: Any, **options: Any) -> Any:
        found = await real(inputs, *others, **options)
        found.value[[text == "c" for text in inputs]] *= 1e6
        return found

    monkeypatch.setattr(type(model.engine), "embed", lambda _, *args, **more: embed(*args, **more))
    found = of(model, chunk("a", "b", "c", "d"), plain)
    assert [row.text for row in found.rows] == ["a", "b", "d"]
    assert found.vectors.dtype == np.float16
    assert "too large for float16" in found.rejected[0].reason
