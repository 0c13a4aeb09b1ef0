"""Cohere's embeddings: POST `/v2/embed`, vectors in several types of number at once.

TEI has no such route. Requests, answers and their names are those of Cohere's own API, version 2,
as its clients (cohere 7.3) write and read them.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, cast

from numpy.typing import NDArray

from app.api.shapes.fields import ArrayOf, Field, Misfit, Shape, Struct, Variant, string, unsigned
from app.api.shapes.openapi_types import COUNT, NUMBER, TEXT, Named, list_of, record
from app.api.verbs.output.dtype import in_dtype, numbers
from app.api.verbs.output.representation import in_base64
from app.api.verbs.rendering import groups, joined, numpy_json
from app.api.verbs.verb import Counted, Request
from app.errors import EmptyInput, InvalidInput, ServiceError
from app.inference.admission import InputOptions
from app.inference.computing import Computed
from app.inference.kinds.dtypes import require_dtypes
from app.inference.served_model import ServedModel
from app.model.names import OutputDtype

MOST_TEXTS = 96  # of one request, as in Cohere's reference; its clients send that many at a time

# The names of prompts, and of sides of a model, that mean an input type; the first there is counts.
PROMPTS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "search_document": ("search_document", "document", "passage"),
        "search_query": ("search_query", "query"),
        "classification": ("classification",),
        "clustering": ("clustering",),
    }
)
INPUT_TYPE = Variant(
    "one of `search_document`, `search_query`, `classification`, `clustering`",
    {name: name for name in PROMPTS},
    "CohereInputType",
)
EMBEDDING_TYPE = Variant(
    "one of `float`, `int8`, `uint8`, `binary`, `ubinary`, `base64`",
    {name: name for name in ("float", "int8", "uint8", "binary", "ubinary", "base64")},
    "CohereEmbeddingType",
)
# Whether to truncate, and the side that is cut.
TRUNCATE = Variant(
    "one of `NONE`, `START`, `END`",
    {"NONE": (False, None), "START": (True, "left"), "END": (True, "right")},
    "CohereTruncate",
)
CONTENT = Shape(
    "CohereEmbedContent",
    Field("type", Variant("`text`", {"text": "text"}, "CohereContentType")),
    Field("text", string),
)
INPUT = Shape("CohereEmbedInput", Field("content", ArrayOf(Struct(CONTENT))))


def no_images(value: Any) -> None:
    """Read an empty array: there is no model here that embeds images."""
    if value != []:
        raise Misfit("images cannot be embedded, expected `texts`")


EMBED = Shape(
    "CohereEmbedRequest",
    Field("model", string, None),
    Field("texts", ArrayOf(string), None),
    Field("inputs", ArrayOf(Struct(INPUT)), None),
    Field("images", no_images, None),
    Field("input_type", INPUT_TYPE, None),
    Field("embedding_types", ArrayOf(EMBEDDING_TYPE), None),
    Field("truncate", TRUNCATE, None),
    Field("output_dimension", unsigned, None),
    Field("max_tokens", unsigned, None),
    Field("priority", unsigned, None),
    promised=MOST_TEXTS,
)

_INTEGERS = list_of(list_of({"type": "integer"}))
EMBEDDINGS = Named(
    "CohereEmbeddings",
    {
        "type": "object",
        "properties": {
            "float": list_of(list_of(NUMBER)),
            **dict.fromkeys(("int8", "uint8", "binary", "ubinary"), _INTEGERS),
            "base64": list_of(TEXT),
        },
    },
)
META = Named(
    "CohereMeta",
    record(api_version=record(version=TEXT), billed_units=record(input_tokens=COUNT)),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The fields of a request beside its texts."""

    types: Sequence[str]  # of embeddings, each once
    input_type: str | None
    dimensions: int | None
    max_tokens: int | None
    fault: str | None  # why its texts cannot be read


class CohereEmbed:
    """POST `/v2/embed`: the vectors of each text, in every type asked for.

    `input_type` chooses the model's prompt of that meaning, or its side for queries or documents,
    if there is one. Vectors are normalized.
    """

    name = "cohere_embed"
    shape = EMBED
    answer = Named(
        "CohereEmbedResponse",
        record(id=TEXT, embeddings=EMBEDDINGS, texts=list_of(TEXT), meta=META, response_type=TEXT),
    )
    counted_as: Counted = "embed"

    def build(self, values: dict[str, Any]) -> Request[Asked]:
        texts, fault = _texts(values["texts"], values["inputs"])
        types = ["float"] if values["embedding_types"] is None else values["embedding_types"]
        truncate, direction = values["truncate"] or (None, None)
        options = InputOptions(truncate, direction, promised=self.shape.promised)
        asked = Asked(
            types=tuple(dict.fromkeys(types)),
            input_type=values["input_type"],
            dimensions=values["output_dimension"],
            max_tokens=values["max_tokens"],
            fault=fault,
        )
        return Request(texts, True, options, asked, values["model"])

    async def run(
        self, model: ServedModel, request: Request[Asked]
    ) -> Computed[Mapping[str, NDArray[Any]]]:
        asked = request.extra
        _require_possible(asked, model)
        if not request.inputs:
            raise EmptyInput("Input validation error: `texts` cannot be empty")
        dtypes = {name: _dtype(name) for name in asked.types}
        require_dtypes(model, dtypes.values(), normalize=True)
        options = replace(request.options, prompt_name=_prompt_name(asked, model))
        _require_route(model, options)
        vectors = await model.engine.embed(request.inputs, options, dimensions=asked.dimensions)
        found = {
            name: (await in_dtype(model, vectors, dtype)).value for name, dtype in dtypes.items()
        }
        return Computed(found, vectors.token_counts, vectors.timings)

    def render(
        self,
        _: ServedModel,
        request: Request[Asked],
        computed: Computed[Mapping[str, NDArray[Any]]],
    ) -> Iterable[bytes]:
        named = numpy_json({"id": str(uuid.uuid4()), "texts": request.inputs})
        del request  # free the memory: a client may read slowly
        before = named[:-1] + b',"embeddings":{'
        for name, rows in computed.value.items():
            yield before + b'"%b":' % name.encode()
            encoded = in_base64 if name == "base64" else numbers
            yield from joined(numpy_json(encoded(group)) for group in groups(rows))
            before = b","
        billed = {"input_tokens": sum(computed.token_counts)}
        meta = {"api_version": {"version": "2"}, "billed_units": billed}
        yield b"}," + numpy_json({"meta": meta, "response_type": "embeddings_by_type"})[1:]

    def render_error(self, error: ServiceError) -> bytes:
        """Return Cohere's `{"message": …}`."""
        return numpy_json({"message": str(error)})


def _texts(
    texts: Sequence[str] | None, inputs: Sequence[dict[str, Any]] | None
) -> tuple[Sequence[str], str | None]:
    """Return the texts of a request in either form, and what is wrong with them."""
    if inputs is None:
        return texts or [], None
    if texts is not None:
        return [], "`texts` and `inputs` cannot both be given"
    for place, one in enumerate(inputs):
        if len(one["content"]) != 1:
            return [], (
                f"`inputs[{place}].content` holds {len(one['content'])} texts, and must hold one"
            )
    return [one["content"][0]["text"] for one in inputs], None


def _require_possible(asked: Asked, model: ServedModel) -> None:
    """Refuse values that the model cannot take. Raises: InvalidInput."""
    width, length = model.manifest.dimensions, model.manifest.max_input_length
    fault = asked.fault
    if not asked.types:
        fault = f"`embedding_types` must be {EMBEDDING_TYPE.expected}, or several of them"
    if asked.dimensions is not None and not 1 <= asked.dimensions <= width:
        fault = f"`output_dimension` is {asked.dimensions}, and must be from 1 to {width}"
    if asked.max_tokens is not None and asked.max_tokens < length:
        fault = (
            f"`max_tokens` is {asked.max_tokens}, and cannot be less than the {length} that the "
            "model takes: leave it out"
        )
    if fault is not None:
        raise InvalidInput(f"Input validation error: {fault}")


def _prompt_name(asked: Asked, model: ServedModel) -> str | None:
    """Return the name by which the model knows an input type, in any case of letters, or None."""
    known = {name.lower(): name for name in reversed(model.prompt_names)}
    meant = () if asked.input_type is None else PROMPTS[asked.input_type]
    return next((known[name] for name in meant if name in known), None)


def _require_route(model: ServedModel, options: InputOptions) -> None:
    """Refuse texts of which a model with two sides cannot tell which they are for."""
    try:
        model.engine.admission.route(options)
    except InvalidInput:
        raise InvalidInput(
            "Input validation error: the model embeds queries and documents in different ways: set "
            "`input_type` to `search_query` or `search_document`"
        ) from None


def _dtype(name: str) -> OutputDtype:
    """Return the type of number of an embedding type: base64 holds bytes of float32."""
    return "float" if name == "base64" else cast("OutputDtype", name)
