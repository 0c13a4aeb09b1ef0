"""Embedder: a model in one's own process, for programs that have texts and want their vectors."""

import asyncio
import threading
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np

from app.bulk.chunks import WINDOW, Chunk, chunked
from app.bulk.computing import Embedded, VectorOptions, embedded, opened, require_vectors
from app.bulk.rows import Columns, row_of
from app.download.preparation import prepared
from app.inference.served_model import ServedModel
from app.model.quantization import Quantized
from app.options.settings import Settings

T = TypeVar("T")

CLOSE_SECONDS = 1.0
PLAIN = VectorOptions()
_COLUMNS = Columns("text", None)


@dataclass(frozen=True, slots=True, eq=False)
class Vectors:
    """The vectors of N texts."""

    values: Quantized  # (N, W), zeros for a text at fault
    faults: Mapping[int, str]  # reasons for texts without a vector, by their places


class Embedder:
    """A model with the server's batches, precision and proof; any thread may ask it.

        settings = Settings.read(["--model-id", "models/NAME"], os.environ)
        with Embedder.open(settings, os.environ) as embedder:
            vectors = embedder.embed(["a text", "another"])

    What several threads ask at the same time is computed together.
    """

    def __init__(self, model: ServedModel, options: VectorOptions = PLAIN) -> None:
        """Run an open model on an event loop of its own.

        Raises: StartupError if it cannot give such vectors.
        """
        self._model = model
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._room = asyncio.Semaphore(WINDOW)
        self._asking = threading.Lock()
        self._is_closed = False
        self._thread = threading.Thread(target=self._loop.run_forever, name="embedder", daemon=True)
        self._thread.start()
        try:
            self._like = self._result(require_vectors(model, options))
        except BaseException:  # its thread must end with it
            self.close()
            raise

    @classmethod
    def open(
        cls, settings: Settings, environment: Mapping[str, str], options: VectorOptions = PLAIN
    ) -> Self:
        """Find the model that the settings name as the server does, load it, and prove it.

        Raises: StartupError with the cause and the remedy.
        """
        with prepared(settings, environment) as (meant, folder):
            return cls(opened(folder, meant), options)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the vector space."""
        return self._model.loaded.fingerprint

    @property
    def width(self) -> int:
        """How many numbers a vector has, W."""
        return int(self._like.shape[1])

    def embed(self, texts: Sequence[str]) -> Quantized:
        """Return the vectors of texts, (N, W).

        Raises: ValueError for the first text that can have none; else as `embed_each`.
        """
        found = self.embed_each(texts)
        for place, reason in found.faults.items():
            raise ValueError(f"text {place} has no vector: {reason}")
        return found.values

    def embed_each(self, texts: Sequence[str | None]) -> Vectors:
        """Return the vectors of texts, and which texts have none.

        Raises: JobError if the model fails whatever it is given; RuntimeError when it is closed.
        """
        rows = (row_of({"text": text}, _COLUMNS, place, "") for place, text in enumerate(texts))
        parts = self._result(self._every(list(chunked(rows))))
        values = np.zeros((len(texts), self.width), self._like.dtype)
        for part in parts:
            if part.rows:
                values[[row.number for row in part.rows]] = part.vectors
        faults = {one.number: one.reason for part in parts for one in part.rejected}
        return Vectors(values, faults)

    def close(self) -> None:
        """End the threads; others that still wait for vectors get CancelledError or JobError."""
        if self._is_closed:
            return
        self._result(self._end(), last=True)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def _end(self) -> None:
        await self._model.close(CLOSE_SECONDS)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for one in others:
            one.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _every(self, chunks: Sequence[Chunk]) -> list[Embedded]:
        return await asyncio.gather(*map(self._one, chunks))

    async def _one(self, chunk: Chunk) -> Embedded:
        async with self._room:
            return await embedded(self._model, chunk, self._options)

    def _result(self, work: Coroutine[Any, Any, T], *, last: bool = False) -> T:
        """Wait for work on the event loop, which takes no more after the last."""
        with self._asking:
            if self._is_closed:
                work.close()
                raise RuntimeError("the embedder is closed")
            self._is_closed = last
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        return future.result()
