"""Rerank: the calls that rank texts by how well they answer a query, all at once or in a stream."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import numpy as np

from app.api.http.byte_budget import Share
from app.api.http.service import Service
from app.api.verbs.counting import BATCH, FailureCounted, succeeded
from app.api.verbs.tei_score import RankOptions, Rerank, ranked
from app.api.verbs.verb import Request
from app.errors import EmptyInput, ModelMismatch
from app.inference.admission import InputOptions
from app.inference.computing import Computed, Progress, Timings
from app.inference.engine import Predictions
from app.inference.served_model import ServedModel
from app.model.names import Task
from app.model.vectors import Scores
from app.rpc.caller import Caller
from app.rpc.calls.call import Answer, Computation, Message, admitted, defaults, fields
from app.rpc.messages import named, parsed

TEXT_BYTES = 700  # bytes held for a text of a stream until all are ranked, without its characters

_RESPONSE, _RANK = named("RerankResponse"), named("Rank")
_STREAMED = named("RerankStreamRequest")


def _require_reranker(task: Task) -> None:
    if task != "reranker":
        kind = "re-ranker" if task == "classifier" else "classifier"
        raise ModelMismatch(f"model is not a {kind} model")


def _ranks(_: ServedModel, request: Request[RankOptions], computed: Predictions) -> bytes:
    ranks = [_RANK(**one) for one in ranked(request, computed.value)]
    content: bytes = _RESPONSE(ranks=ranks).SerializeToString()
    return content


def _checked(model: ServedModel, message: Any) -> None:
    """Refuse texts before a pair is made of each: they may be a million.

    Raises: ModelMismatch; BatchTooLarge.
    """
    if message.texts:
        _require_reranker(model.engine.task)
        texts, admission = len(message.texts), model.engine.admission
        if texts > admission.most(0):
            model.metrics.count("te_request_count", BATCH)  # as over HTTP
        admission.require_size(texts)


RERANK = Computation(
    Rerank(), named("RerankRequest"), _RESPONSE, _ranks, check=_checked, waits=True
)


class RankedStream:
    """The texts of one stream, each computed as it comes, and ranked when all have come.

    They are one request to the metrics and the log. Of `raw_scores` and `return_text` the first
    message's count, as in TEI.
    """

    def __init__(self, service: Service, caller: Caller, share: Share) -> None:
        self._service = service
        self._caller = caller
        self._share = share  # for the whole stream
        self._options: dict[str, bool] | None = None
        self._inputs: list[Any] = []
        self._computed: list[Predictions] = []

    async def answered(self, read: Callable[[], Awaitable[None]]) -> Answer:
        """Answer once `read` returns, which has given each message to `add`.

        Raises: ServiceError; what `read` raises.
        """
        model = self._service.model
        with (
            self._caller.request("rerank_stream") as span,
            FailureCounted(model.metrics),
        ):
            span.model = model.label
            _require_reranker(model.engine.task)
            model.metrics.count("te_request_count", BATCH)
            await read()
            if not self._computed:
                raise EmptyInput("`texts` cannot be empty")
            request = Request(
                self._inputs, True, InputOptions(), RankOptions(**(self._options or {}))
            )
            computed = _joined(self._computed)
            succeeded(model.metrics, RERANK.verb.counted_as, BATCH, computed, span)
            return RERANK.answer(model, request, computed, span.started)

    async def add(self, message: Message, turn: Callable[[], Awaitable[None]]) -> None:
        """Score one text, and keep it when it is its turn; raises ServiceError or CallRefused."""
        found = fields(parsed(_STREAMED, message.content))
        if self._options is None:
            self._options = {name: found[name] for name in ("raw_scores", "return_text")}
        self._share.gather(TEXT_BYTES + len(message.content))
        values = defaults(RERANK.verb) | found | self._options | {"texts": [found["text"]]}
        request = RERANK.verb.build(values)
        async with admitted(self._service.model, 1, waits=True) as model:
            count = model.metrics.count
            progress = Progress(
                accepted=lambda inputs: count("te_predict_count", amount=inputs),
                measured=message.share.reserve,
            )
            computed = await RERANK.verb.run(model.telling(progress), request)
        await turn()
        self._inputs += request.inputs
        self._computed.append(computed)


def _joined(parts: Sequence[Predictions]) -> Predictions:
    """Return the scores of texts that were computed one by one as those of one request."""
    scores = Scores(
        np.concatenate([one.value.logits for one in parts]),
        np.concatenate([one.value.printed for one in parts]),
    )
    means = [
        sum(getattr(one.timings, name) for one in parts) / len(parts)
        for name in ("tokenization", "queue", "inference")
    ]
    counts = tuple(count for one in parts for count in one.token_counts)
    truncated = tuple(place for place, one in enumerate(parts) if one.truncated)
    return Computed(scores, counts, Timings(*means), truncated)
