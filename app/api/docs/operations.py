"""Operations: the API's description of each path, in reading order.

As in TEI, `/vertex` is left out, and so are the other paths of `/embed` and its like.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from app.api.docs import answers
from app.api.docs.openapi import Content, Operation, in_json, in_octets, in_text
from app.api.shapes.openapi_types import Schema
from app.api.verbs import openai, tei_tokenize
from app.api.verbs.cohere.embed import CohereEmbed
from app.api.verbs.output.representation import InRows
from app.api.verbs.verb import Verb

EMBEDDINGS, SCORES, TOKENS, SERVICE = "Embeddings", "Scores", "Tokens", "Service"

QUESTION = "What is deep learning?"
ANSWERS = ["Deep learning is a kind of machine learning.", "Cheese is made of milk."]
RANK = {"query": QUESTION, "texts": ANSWERS}
RANK_DOCUMENTS = {"query": QUESTION, "documents": ANSWERS, "top_n": 1, "return_documents": True}
OPENAI = {
    "a text": {"input": QUESTION},
    "in bits": {"input": QUESTION, "output_dtype": "ubinary"},
    "a batch in base64": {"input": ANSWERS, "encoding_format": "base64"},
}
COMPARE = {"inputs": {"source_sentence": QUESTION, "sentences": ANSWERS}}


class _Row(NamedTuple):
    """The description of a path that has a verb of its own; operation ids are TEI's."""

    tag: str
    id: str
    summary: str
    examples: Mapping[str, Any]


_VERBS = {
    "/embed": _Row(
        EMBEDDINGS,
        "embed",
        "A vector for each input.",
        {
            "a text": {"inputs": QUESTION},
            "a batch": {"inputs": ANSWERS},
            "without normalization": {"inputs": QUESTION, "normalize": False},
            "in bits": {"inputs": QUESTION, "output_dtype": "ubinary"},
        },
    ),
    "/embed_all": _Row(
        EMBEDDINGS, "embed_all", "A vector for each token.", {"a text": {"inputs": QUESTION}}
    ),
    "/embed_sparse": _Row(
        EMBEDDINGS,
        "embed_sparse",
        "The entries of each input's SPLADE vector.",
        {"a text": {"inputs": QUESTION}},
    ),
    "/similarity": _Row(
        EMBEDDINGS,
        "similarity",
        "The cosine of one sentence to each of several.",
        {"a question and its answers": COMPARE},
    ),
    "/v1/embeddings": _Row(
        EMBEDDINGS, "openai_embed", "A vector for each input, in OpenAI's shape.", OPENAI
    ),
    "/v2/embed": _Row(
        EMBEDDINGS,
        "cohere_embed",
        "A vector for each text in every type asked for, in Cohere's shape.",
        {
            "queries": {"texts": [QUESTION], "input_type": "search_query"},
            "two types": {"texts": ANSWERS, "embedding_types": ["float", "ubinary"]},
        },
    ),
    "/embeddings": _Row(EMBEDDINGS, "openai_embed_alias", "The same as /v1/embeddings.", OPENAI),
    "/predict": _Row(
        SCORES,
        "predict",
        "The score of every label, best first.",
        {
            "a text": {"inputs": QUESTION},
            "a pair": {"inputs": [QUESTION, ANSWERS[0]]},
            "a batch": {"inputs": [[QUESTION], [QUESTION, ANSWERS[0]]]},
        },
    ),
    "/rerank": _Row(
        SCORES,
        "rerank",
        "Texts by their score for a query, best first; with documents, as /v1/rerank.",
        {"texts": RANK, "documents": RANK_DOCUMENTS},
    ),
    "/v1/rerank": _Row(
        SCORES,
        "rerank_documents",
        "Documents by their relevance to a query, in Cohere's and Jina's shape.",
        {"documents": RANK_DOCUMENTS},
    ),
    "/v2/rerank": _Row(
        SCORES,
        "rerank_documents_v2",
        "The same as /v1/rerank.",
        {"documents": RANK_DOCUMENTS},
    ),
}


def operations(verbs: Mapping[str, Verb]) -> list[Operation]:
    """Return every operation, given the verb behind each path that has one of its own."""
    return [*(_infer(path, row, verbs) for path, row in _VERBS.items()), *_OTHERS]


def _infer(path: str, row: _Row, verbs: Mapping[str, Verb]) -> Operation:
    # The path takes two dialects, and answers in that of the request.
    spoken = [verbs[path], verbs["/v1/rerank"]] if path == "/rerank" else [verbs[path]]
    return Operation(
        path=path,
        method="post",
        id=row.id,
        tag=row.tag,
        summary=row.summary,
        shapes=[verb.shape for verb in spoken],
        examples=row.examples,
        answer=_answer(spoken),
        error=in_json(_ERRORS.get(verbs[path].name, answers.ERROR)),
        runs_model=True,
    )


# The errors of the dialects that have others than TEI's, by the verb.
_ERRORS = {
    openai.Embeddings.name: answers.OPENAI_ERROR,
    CohereEmbed.name: answers.COHERE_ERROR,
}


def _answer(spoken: Sequence[Verb]) -> Content:
    in_rows = any(isinstance(verb, InRows) for verb in spoken)
    json = in_json(_any_of([verb.answer for verb in spoken]))
    return {**json, **in_octets()} if in_rows else json


def _any_of(schemas: Sequence[Schema]) -> Schema:
    return schemas[0] if len(schemas) == 1 else {"anyOf": list(schemas)}


_OTHERS = (
    Operation(
        path="/tokenize",
        method="post",
        id="tokenize",
        tag=TOKENS,
        summary="The tokens of each text, with their places in bytes of UTF-8.",
        shapes=[tei_tokenize.TOKENIZE],
        examples={"a text": {"inputs": QUESTION}, "a batch": {"inputs": ANSWERS}},
        answer=in_json(tei_tokenize.TOKENS),
        error=in_json(answers.ERROR),
    ),
    Operation(
        path="/decode",
        method="post",
        id="decode",
        tag=TOKENS,
        summary="The text of each list of token ids.",
        shapes=[tei_tokenize.DECODE],
        examples={"some ids": {"ids": [1, 2, 3]}, "a batch": {"ids": [[1, 2], [3]]}},
        answer=in_json(tei_tokenize.TEXTS),
        error=in_json(answers.ERROR),
    ),
    Operation(
        path="/info",
        method="get",
        id="get_model_info",
        tag=SERVICE,
        summary="The model and the limits.",
        answer=in_json(answers.INFO),
    ),
    Operation(
        path="/v1/models",
        method="get",
        id="list_models",
        tag=SERVICE,
        summary="The models, in OpenAI's shape.",
        answer=in_json(answers.MODELS),
    ),
    Operation(
        path="/v1/models/{id}",
        method="get",
        id="get_model",
        tag=SERVICE,
        summary="A model by its name or id, in OpenAI's shape.",
        parameter="id",
        answer=in_json(answers.MODEL),
        error=in_json(answers.OPENAI_ERROR),
    ),
    Operation(
        path="/health",
        method="get",
        id="health",
        tag=SERVICE,
        summary="Check that the model answers and the service stays up.",
        unhealthy=in_json(answers.ERROR),
        needs_key=False,
    ),
    Operation(
        path="/livez",
        method="get",
        id="livez",
        tag=SERVICE,
        summary="Check that the process works; if it does not, start it again.",
        unhealthy=in_json(answers.ERROR),
        needs_key=False,
    ),
    Operation(
        path="/readyz",
        method="get",
        id="readyz",
        tag=SERVICE,
        summary="Check that requests can be sent: models answered lately, the service stays up.",
        unhealthy=in_json(answers.ERROR),
        needs_key=False,
    ),
    Operation(
        path="/metrics",
        method="get",
        id="metrics",
        tag=SERVICE,
        summary="Metrics in Prometheus' text format.",
        answer=in_text(),
        needs_key=False,
    ),
)
