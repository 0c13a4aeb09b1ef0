"""Cohere's and Jina's rerank dialect: POST `/v1/rerank`, `/v2/rerank`, `/rerank` with documents.

TEI has no such route; clients of Cohere, Jina, vLLM and Infinity use it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from app.api.shapes.fields import ArrayOf, Field, Misfit, Shape, anything, string, unsigned
from app.api.shapes.openapi_types import COUNT, NUMBER, TEXT, USAGE, Named, list_of, record
from app.api.verbs.input_fields import TRUNCATE, input_options
from app.api.verbs.rendering import numpy_json, render_error
from app.api.verbs.verb import Counted, Request
from app.errors import EmptyInput
from app.inference.engine import Predictions
from app.inference.served_model import ServedModel
from app.model.vectors import ranking


def document(value: Any) -> str:
    """Read a text, or an object that holds one as `text`."""
    text = value.get("text") if type(value) is dict else value
    if type(text) is str:
        return text
    raise Misfit("data did not match any variant of untagged enum Document")


DOCUMENT_TEXT = Named("DocumentText", record(text=TEXT))
RESULT = Named(
    "RankedDocument",
    {
        "type": "object",
        "properties": {
            "index": COUNT,
            "relevance_score": NUMBER,
            "document": DOCUMENT_TEXT,
        },
        "required": ["index", "relevance_score"],
    },
)
RERANK = Shape(
    "RerankDocumentsRequest",
    Field("query", string),
    Field("documents", ArrayOf(document)),
    Field("model", string, None),
    Field("top_n", unsigned, None),
    Field("return_documents", anything, None),
    TRUNCATE,
)


@dataclass(frozen=True, slots=True)
class RankOptions:
    """The choices of a request."""

    top_n: int | None
    return_documents: bool


class RerankDocuments:
    """Documents by their relevance to a query, best first, as a score from 0 to 1."""

    name = "rerank_documents"
    shape = RERANK
    answer = Named(
        "RerankDocumentsResponse", record(model=TEXT, results=list_of(RESULT), usage=USAGE)
    )
    counted_as: Counted = "predict"
    render_error = staticmethod(render_error)

    def build(self, values: dict[str, Any]) -> Request[RankOptions]:
        pairs = [(values["query"], text) for text in values["documents"]]
        extra = RankOptions(values["top_n"], values["return_documents"] is True)
        return Request(pairs, True, input_options(values), extra, values["model"])

    async def run(self, model: ServedModel, request: Request[RankOptions]) -> Predictions:
        if not request.inputs:
            raise EmptyInput("`documents` cannot be empty")
        model.engine.require_reranker()
        return await model.engine.predict(request.inputs, request.options, "sigmoid")

    def render(
        self, model: ServedModel, request: Request[RankOptions], computed: Predictions
    ) -> Iterable[bytes]:
        printed = computed.value.printed[:, 0]
        results: list[dict[str, Any]] = []
        for index in ranking(computed.value.logits[:, 0])[: request.extra.top_n]:
            text = {"document": {"text": request.inputs[index][1]}}
            shown = text if request.extra.return_documents else {}
            results.append({"index": index, "relevance_score": printed[index], **shown})
        tokens = sum(computed.token_counts)
        yield numpy_json(
            {
                "model": model.name,
                "results": results,
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
        )
