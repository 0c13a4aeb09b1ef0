"""/info: the model and its outputs."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.api.conftest import MakeKind
from tools import tiny
from tools.asgi import post, request


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("embedding", {"embedding": {"pooling": "mean"}}),
        ("whole", {"embedding": {"pooling": "mean"}}),
        ("splade", {"embedding": {"pooling": "splade"}}),
        ("multi_vector", {"embedding": {"pooling": "none"}}),
        ("classifier", {"classifier": {"id2label": {"0": "sad", "1": "glad", "2": "neither"}, "label2id": {"sad": 0, "glad": 1, "neither": 2}}}),
        ("reranker", {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}),
    ],
)  # fmt: skip
def test_info_tells_the_kind(make_kind: MakeKind, task: str, kind: Any) -> None:
    assert request(make_kind(task), "GET", "/info").json["model_type"] == kind


@pytest.mark.parametrize(
    ("task", "kinds"),
    [
        ("embedding", ["dense"]),
        ("whole", ["dense", "sparse", "multi_vector"]),
        ("splade", ["sparse"]),
        ("multi_vector", ["multi_vector"]),
        ("classifier", []),
    ],
)
def test_info_tells_which_vectors_there_are(
    make_kind: MakeKind, task: str, kinds: list[str]
) -> None:
    assert request(make_kind(task), "GET", "/info").json["vectors"] == kinds


MakeService = Callable[..., tuple[Service, ASGIApp]]


def test_info_has_tei_s_keys_in_tei_s_order(make_service: MakeService) -> None:
    service, app = make_service(tokenization_workers=3)
    reply = request(app, "GET", "/info", headers={})
    assert reply.status == 200
    assert list(reply.json)[:15] == [
        "model_id", "model_sha", "model_dtype", "served_model_name", "model_type",
        "max_concurrent_requests", "max_input_length", "max_batch_tokens", "max_batch_requests",
        "max_client_batch_size", "auto_truncate", "tokenization_workers", "version", "sha",
        "docker_label",
    ]  # fmt: skip
    assert reply.json["model_id"] == service.model.name
    assert reply.json["model_dtype"] == "float32"
    assert reply.json["model_type"] == {"embedding": {"pooling": "mean"}}
    assert reply.json["max_input_length"] == tiny.MAX_LENGTH
    assert reply.json["tokenization_workers"] == 3
    assert reply.json["sha"] is reply.json["max_batch_requests"] is None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"inputs": "a"}),
        ("/v1/embeddings", {"input": "a"}),
        ("/vertex", {"instances": [{"inputs": "a"}]}),
    ],
)
def test_computed_answers_say_which_vector_space_and_precision(
    app: ASGIApp, path: str, body: Any
) -> None:
    headers = post(app, path, body).headers
    assert headers["x-model-fingerprint"] == "f" * 64
    assert headers["x-compute-dtype"] == "float32"


def test_info_says_what_computes_and_how_close_it_comes(app: ASGIApp) -> None:
    info = request(app, "GET", "/info").json
    assert (info["model_dtype"], info["provider"]) == ("float32", "cpu")
    assert info["provider_reason"]
    assert info["graph"] == "model.onnx"
    assert info["proof"]["agreement"]["worst_cosine"] > 0.99999
    assert info["proof"]["probes"] == 7
    assert info["proof"]["certificate"] is None
