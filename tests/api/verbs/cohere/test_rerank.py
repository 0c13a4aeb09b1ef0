"""Rankings in the dialect of Cohere and Jina."""

import numpy as np
import pytest

from tests.api.conftest import MakeKind
from tests.support.scores import logits, sigmoid
from tools.asgi import post


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_documents_are_ranked_by_relevance(make_kind: MakeKind, path: str) -> None:
    app = make_kind("reranker")
    texts = ["the cat sat", "hello world", "a b c"]
    body = {"model": "any", "query": "dog", "documents": [texts[0], {"text": texts[1]}, texts[2]]}
    answer = post(app, path, body | {"top_n": 2, "return_documents": True}).json
    expected = np.array([sigmoid(logits("reranker", "dog", text))[0] for text in texts])
    order = np.argsort(expected)[::-1][:2].tolist()
    assert [one["index"] for one in answer["results"]] == order
    assert [one["document"]["text"] for one in answer["results"]] == [texts[i] for i in order]
    scores = [one["relevance_score"] for one in answer["results"]]
    np.testing.assert_allclose(scores, expected[order], atol=1e-5)
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0
    plain = post(app, path, body | {"top_n": None, "max_tokens_per_doc": None}).json
    assert len(plain["results"]) == 3
    assert "document" not in plain["results"][0]
