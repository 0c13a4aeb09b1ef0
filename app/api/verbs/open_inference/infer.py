"""Infer: POST `/v2/models/{name}/infer` of the Open Inference Protocol, texts in and FP32 out.

TEI has no such route. The protocol is that of KServe and Triton, version 2, with the extension for
binary tensor data; the fields of `parameters` are those of TEI's own routes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.api.verbs.input_fields import input_options
from app.api.verbs.open_inference import tensors
from app.api.verbs.open_inference.binary import HEADER, Binary
from app.api.verbs.open_inference.fields import ANSWER, INFER, NO_PARAMETERS
from app.api.verbs.output.representation import OCTETS, Representation, little_endian
from app.api.verbs.rendering import groups, joined, numpy_json
from app.api.verbs.verb import Counted, Request
from app.errors import EmptyInput, InvalidInput, ServiceError
from app.inference.computing import Computed
from app.inference.served_model import ServedModel

VERSION = "1"  # of every model: there are no others


@dataclass(frozen=True, slots=True)
class Asked:
    """The fields of a request beside its texts."""

    id: str | None
    normalize: bool
    dimensions: int | None
    raw_scores: bool
    in_binary: bool  # its answer


class Infer:
    """One request for a model, with the binary data of its body: a vector or scores for each text.

    It answers what `/embed`, `/predict` or `/rerank` does, in the order of the texts.
    """

    name = "infer"
    shape = INFER
    answer = ANSWER

    def __init__(self, model: ServedModel, data: memoryview) -> None:
        self._model = model
        self._data = data
        scores = model.manifest.task in {"classifier", "reranker"}
        self.counted_as: Counted = "predict" if scores else "embed"

    def build(self, values: dict[str, Any]) -> Request[Asked]:
        """Make a request of a body's typed fields and its binary data.

        Raises: InvalidInput, MalformedTensor.
        """
        parameters = values["parameters"] or NO_PARAMETERS
        manifest = self._model.manifest
        found = tensors.columns(values["inputs"], self._model, Binary(self._data))
        self._data = memoryview(b"")  # free the memory
        inputs: Sequence[Any] = found[tensors.TEXT]
        if tensors.QUERY in found:
            inputs = list(tensors.pairs(found[tensors.QUERY], found[tensors.TEXT]))
        asked = Asked(
            id=values["id"],
            normalize=parameters["normalize"] is not False,
            dimensions=parameters["dimensions"],
            raw_scores=parameters["raw_scores"] is True,
            in_binary=_in_binary(values["outputs"], parameters, tensors.output_name(manifest)),
        )
        return Request(inputs, True, input_options(parameters), asked, self._model.name)

    async def run(
        self, model: ServedModel, request: Request[Asked]
    ) -> Computed[NDArray[np.float32]]:
        """Compute the answer, (N, D); raises ServiceError."""
        asked, engine, manifest = request.extra, model.engine, model.manifest
        if not request.inputs:
            raise EmptyInput(f"`{tensors.TEXT}` cannot be empty")
        if self.counted_as == "embed":
            return await engine.embed(
                request.inputs,
                request.options,
                normalize=asked.normalize,
                dimensions=asked.dimensions,
            )
        usual = "sigmoid" if manifest.task == "reranker" else manifest.scored_by
        activation = "none" if asked.raw_scores else usual
        found = await engine.predict(request.inputs, request.options, activation)
        printed = found.value.printed
        return Computed(printed, found.token_counts, found.timings, found.truncated)

    def represent(
        self,
        model: ServedModel,
        request: Request[Asked],
        computed: Computed[NDArray[np.float32]],
    ) -> Representation:
        """Return the answer as JSON, with its numbers as bytes behind it if so asked for."""
        if not request.extra.in_binary:
            return Representation(self.render(model, request, computed))
        rows = computed.value
        size = {"parameters": {"binary_data_size": rows.nbytes}}
        json = _opening(model, request, rows, size)
        parts = chain([json], map(little_endian, groups(rows)))
        return Representation(parts, OCTETS, [(HEADER, b"%d" % len(json))])

    def render(
        self,
        model: ServedModel,
        request: Request[Asked],
        computed: Computed[NDArray[np.float32]],
    ) -> Iterable[bytes]:
        """Return the answer as JSON in parts; its numbers are flat, row by row."""
        opening = _opening(model, request, computed.value, {})
        ending = b"}]}"
        return _around(opening.removesuffix(ending), computed.value, ending)

    def render_error(self, error: ServiceError) -> bytes:
        """Return the protocol's `{"error": …}`."""
        return render_error(error)


def render_error(error: Exception) -> bytes:
    """Return the protocol's `{"error": …}`."""
    return numpy_json({"error": str(error)})


def _in_binary(
    outputs: Sequence[Mapping[str, Any]] | None, parameters: Mapping[str, Any], name: str
) -> bool:
    """Return whether the only output is asked for in binary.

    Raises: InvalidInput for outputs that there are not, and forms that there are not.
    """
    by_default = parameters["binary_data_output"] is True
    if not outputs:
        return by_default
    for one in outputs:
        if one["name"] != name:
            raise InvalidInput(
                f"Input validation error: there is no output `{one['name'][:100]}`, but `{name}`"
            )
    if len(outputs) > 1:
        raise InvalidInput(f"Input validation error: the output `{name}` is asked for twice")
    asked = outputs[0]["parameters"] or {}
    for form in ("classification", "shared_memory_region"):
        if asked.get(form):
            raise InvalidInput(f"Input validation error: `{form}` of outputs is not supported")
    in_binary: bool | None = asked.get("binary_data")
    return by_default if in_binary is None else in_binary


def _opening(
    model: ServedModel,
    request: Request[Asked],
    rows: NDArray[np.float32],
    members: Mapping[str, Any],
) -> bytes:
    """Return an answer in JSON with these members of its tensor, which lacks its numbers."""
    given = {} if request.extra.id is None else {"id": request.extra.id}
    output = {
        "name": tensors.output_name(model.manifest),
        "datatype": tensors.NUMBERS,
        "shape": list(rows.shape),
        **members,
    }
    head = {"model_name": model.name, "model_version": VERSION, **given}
    return numpy_json({**head, "outputs": [output]})


def _around(opening: bytes, rows: NDArray[np.float32], ending: bytes) -> Iterator[bytes]:
    yield opening + b',"data":'
    yield from joined(numpy_json(group.ravel()) for group in groups(rows))
    yield ending
