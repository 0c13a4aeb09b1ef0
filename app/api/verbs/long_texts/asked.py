"""Asked: what a request wants of a text that is too long, or that is to be divided into chunks."""

from collections.abc import Coroutine, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.api.shapes.fields import Field, Variant, boolean
from app.api.shapes.spans import spans
from app.errors import InvalidInput
from app.inference.admission import InputOptions
from app.inference.engine import Engine, Vectors
from app.inference.long_texts.long_texts import Chunked
from app.inference.tokenizing.encoding_input import EncodingInput
from app.records import record

OVERFLOWS = ("truncate", "error", "mean")
OVERFLOW = Field(
    "overflow",
    Variant("one of `truncate`, `error`, `mean`", {one: one for one in OVERFLOWS}, "Overflow"),
    None,
    added=True,
)
SPANS = Field("spans", spans, None, added=True)
LATE_CHUNKING = Field("late_chunking", boolean, None, added=True)


@record(eq=False)
class Asked:
    """The chunks that a request wants vectors of, if any; `fault` says what contradicts it."""

    spans: NDArray[np.uint64] | None = None  # (M, 2)
    joins_inputs: bool = False  # they are the chunks of one text
    fault: str | None = None

    @staticmethod
    def of(values: dict[str, Any], inputs: Sequence[EncodingInput], *, is_batch: bool) -> "Asked":
        """Return what a body's fields ask for."""
        found, joins = values.get("spans"), values.get("late_chunking") is True
        if found is None and not joins and values["overflow"] != "mean":
            return NOTHING
        field = "late_chunking" if joins else "spans"
        fault = None
        if values["overflow"] == "mean" and values.get("output_types") is not None:
            fault = (
                "`overflow` cannot be `mean` with `output_types`: only dense vectors have a mean"
            )
        if joins or found is not None:
            fault = _fault(field, values)
        if found is not None and (is_batch or not isinstance(inputs[0], str)):
            fault = "`spans` are places in one text: `inputs` must be a string"
        if joins and (places := [i for i, one in enumerate(inputs) if not isinstance(one, str)]):
            fault = f"`late_chunking` joins texts: `input[{places[0]}]` must be a string"
        return Asked(found, joins, fault)

    def require_sense(self) -> None:
        """Raise InvalidInput for fields that contradict each other."""
        if self.fault is not None:
            raise InvalidInput(f"Input validation error: {self.fault}")

    def vectors(
        self,
        engine: Engine,
        inputs: Sequence[EncodingInput],
        options: InputOptions,
        *,
        normalize: bool,
        dimensions: int | None,
    ) -> Coroutine[Any, Any, Vectors]:
        """Return the dense vectors of the inputs, or of the chunks of a text."""
        if self.spans is None and not self.joins_inputs:
            return engine.embed(inputs, options, normalize=normalize, dimensions=dimensions)
        texts = [one for one in inputs if isinstance(one, str)]
        chunked = joined(texts) if self.spans is None else Chunked(texts[0], self.spans, "spans")
        return engine.embed_chunks(chunked, options, normalize=normalize, dimensions=dimensions)


NOTHING = Asked()


def joined(chunks: Sequence[str]) -> Chunked:
    """Return the text of consecutive chunks, with a space where two meet without white space.

    Splitters that strip their chunks would else make one word of two.
    """
    parts: list[str] = []
    places: list[tuple[int, int]] = []
    end = 0
    last = " "
    for chunk in chunks:
        between = " " if chunk and not (last.isspace() or chunk[0].isspace()) else ""
        start, end = end + len(between), end + len(between) + len(chunk)
        parts += (between, chunk)
        places.append((start, end))
        last = chunk[-1:] or last
    return Chunked("".join(parts), np.array(places, np.uint64).reshape(-1, 2), "input")


def _fault(field: str, values: dict[str, Any]) -> str | None:
    if values["overflow"] is not None:
        return f"`overflow` cannot be set with `{field}`: no part of the text is left out"
    if values.get("output_types") is not None:
        return f"`output_types` cannot be set with `{field}`: chunks have dense vectors only"
    return None
