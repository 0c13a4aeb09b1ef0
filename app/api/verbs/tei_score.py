"""TEI's scoring verbs: `/predict` and `/rerank`.

Follows TEI 1.9.3 router/src/http/types.rs and server.rs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.api.shapes.fields import ArrayOf, Field, Shape, boolean, string
from app.api.shapes.inputs import predict_input
from app.api.shapes.openapi_types import COUNT, NUMBER, TEXT, Named, list_of, record
from app.api.verbs.input_fields import TRUNCATE, TRUNCATION_DIRECTION, input_options
from app.api.verbs.rendering import joined, numpy_json, render_error
from app.api.verbs.verb import Counted, Request
from app.errors import EmptyInput
from app.inference.engine import Predictions
from app.inference.served_model import ServedModel
from app.model.vectors import Scores, ranking

PREDICT = Shape(
    "PredictRequest",
    Field("inputs", predict_input),
    replace(TRUNCATE, filled=False),
    TRUNCATION_DIRECTION,
    Field("raw_scores", boolean, False, filled=True),
)
RERANK = Shape(
    "RerankRequest",
    Field("query", string),
    Field("texts", ArrayOf(string)),
    TRUNCATE,
    TRUNCATION_DIRECTION,
    Field("raw_scores", boolean, False, filled=True),
    Field("return_text", boolean, False, filled=True),
)

SCORES_AT_ONCE = 1_000  # Python objects in memory at a time

LABELLED = list_of(Named("Prediction", record(score=NUMBER, label=TEXT)))
PREDICTIONS = Named("PredictResponse", {"oneOf": [LABELLED, list_of(LABELLED)]})
RANK = Named(
    "Rank",
    {
        "type": "object",
        "properties": {"index": COUNT, "text": TEXT, "score": NUMBER},
        "required": ["index", "score"],
    },
)


class Predict:
    """POST `/predict`: the score of every label, best first, as the model's own library has it."""

    name = "predict"
    shape = PREDICT
    answer = PREDICTIONS
    counted_as: Counted = "predict"
    render_error = staticmethod(render_error)

    def build(self, values: dict[str, Any]) -> Request[bool]:
        inputs, is_batch = values["inputs"]
        return Request(inputs, is_batch, input_options(values), values["raw_scores"])

    async def run(self, model: ServedModel, request: Request[bool]) -> Predictions:
        return await model.engine.predict(
            request.inputs,
            request.options,
            "none" if request.extra else model.manifest.scored_by,
        )

    def render(
        self, model: ServedModel, request: Request[bool], computed: Predictions
    ) -> Iterable[bytes]:
        labels = model.manifest.labels
        if not request.is_batch:
            return [numpy_json(labelled(labels, computed.value, 0))]
        rows, at_once = len(request.inputs), max(1, SCORES_AT_ONCE // len(labels))
        return joined(
            numpy_json([labelled(labels, computed.value, row) for row in group])
            for group in (range(rows)[start : start + at_once] for start in range(0, rows, at_once))
        )


@dataclass(frozen=True, slots=True)
class RankOptions:
    """The choices of a request to rank."""

    raw_scores: bool
    return_text: bool


class Rerank:
    """POST `/rerank`: texts by their score for a query, best first; from 0 to 1 unless raw."""

    name = "rerank"
    shape = RERANK
    answer = Named("RerankResponse", list_of(RANK))
    counted_as: Counted = "predict"
    render_error = staticmethod(render_error)

    def build(self, values: dict[str, Any]) -> Request[RankOptions]:
        pairs = [(values["query"], text) for text in values["texts"]]
        extra = RankOptions(values["raw_scores"], values["return_text"])
        return Request(pairs, True, input_options(values), extra)

    async def run(self, model: ServedModel, request: Request[RankOptions]) -> Predictions:
        if not request.inputs:
            raise EmptyInput("`texts` cannot be empty")
        model.engine.require_reranker()
        return await model.engine.predict(
            request.inputs, request.options, "none" if request.extra.raw_scores else "sigmoid"
        )

    def render(
        self, _: ServedModel, request: Request[RankOptions], computed: Predictions
    ) -> Iterable[bytes]:
        yield numpy_json(ranked(request, computed.value))


def ranked(request: Request[RankOptions], scores: Scores) -> list[dict[str, Any]]:
    """Return the texts of a request, best first, as TEI's dialects have them."""
    printed = scores.printed[:, 0]
    ranks: list[dict[str, Any]] = []
    for index in ranking(scores.logits[:, 0]):
        text = {"text": request.inputs[index][1]} if request.extra.return_text else {}
        ranks.append({"index": index, **text, "score": printed[index]})
    return ranks


def labelled(labels: Sequence[str], scores: Scores, row: int) -> list[dict[str, Any]]:
    """Return the labels of an input, best first, as TEI's dialects have them."""
    printed = scores.printed[row]
    return [{"score": printed[i], "label": labels[i]} for i in ranking(scores.logits[row])]
