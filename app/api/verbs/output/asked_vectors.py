"""Asked vectors: the kinds, the type and the chunks that a request to embed asks for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Self

from app.api.verbs.long_texts.asked import Asked
from app.api.verbs.output.dtype import TypedVectors, in_dtype, quantized_in_turns
from app.errors import InvalidInput
from app.inference.admission import InputOptions
from app.inference.engine import VectorsOfKinds
from app.inference.kinds.dtypes import require_dtypes
from app.inference.kinds.served_kinds import AskedKinds
from app.inference.served_model import ServedModel
from app.inference.tokenizing.encoding_input import EncodingInput
from app.model.names import OutputDtype
from app.records import record


@record()
class AskedVectors:
    """The vectors that a request asks for."""

    kinds: AskedKinds
    is_plain: bool  # it names no kinds, so that a vector is by itself
    dtype: OutputDtype  # of dense ones
    long_text: Asked

    @classmethod
    def of(cls, values: dict[str, Any], inputs: Sequence[EncodingInput], *, is_batch: bool) -> Self:
        """Return what a body's fields ask for."""
        kinds = values["output_types"]
        return cls(
            AskedKinds(kinds or ("dense",), values["normalize"] is not False, values["dimensions"]),
            kinds is None,
            values["output_dtype"],
            Asked.of(values, inputs, is_batch=is_batch),
        )

    async def computed(
        self, model: ServedModel, inputs: Sequence[EncodingInput], options: InputOptions
    ) -> TypedVectors | VectorsOfKinds:
        """Compute them; raises ServiceError."""
        self.long_text.require_sense()
        if self.dtype != "float":
            self._require_dense()
            require_dtypes(model, [self.dtype], normalize=self.kinds.normalize)
        if self.is_plain:
            vectors = await self.long_text.vectors(
                model.engine,
                inputs,
                options,
                normalize=self.kinds.normalize,
                dimensions=self.kinds.dimensions,
            )
            return vectors if self.dtype == "float" else await in_dtype(model, vectors, self.dtype)
        several = await model.engine.embed_kinds(inputs, options, self.kinds)
        if self.dtype == "float" or several.value.dense is None:
            return several
        dense = await quantized_in_turns(model, several.value.dense, self.dtype)
        return replace(several, value=replace(several.value, dense=dense))

    def _require_dense(self) -> None:
        if "dense" not in self.kinds.kinds:
            raise InvalidInput(
                f"Input validation error: `output_dtype` cannot be `{self.dtype}`: it is for dense "
                "vectors, which `output_types` does not name"
            )
