"""Requests through the whole application over the tiny model: exact status, headers and bodies."""

import asyncio
import base64
import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.api.verbs.verb import numpy_json
from app.errors import BackendFailed, StartupError
from tools import tiny
from tools.asgi import make_scope, post, request, send_request
from tools.client import JSON

MakeService = Callable[..., tuple[Service, ASGIApp]]


def expected(text: str, dimensions: int | None = None) -> Any:
    return tiny.unit(tiny.reference(tiny.ids_of(text))[:dimensions])


def test_one_text_is_a_list_of_one_vector(app: ASGIApp) -> None:
    reply = post(app, "/embed", {"inputs": "the cat"})
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert int(reply.headers["content-length"]) == len(reply.content)
    np.testing.assert_allclose(reply.json, [expected("the cat")], atol=1e-6)


def test_a_batch_keeps_its_order_and_equals_its_texts_alone(app: ASGIApp) -> None:
    texts = ["a", "the cat sat on the mat", "b c", "hello world !", "dogs", "e d c b a"]
    together = np.array(post(app, "/embed", {"inputs": texts}).json)
    alone = np.array([post(app, "/embed", {"inputs": text}).json[0] for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together, [expected(text) for text in texts], atol=1e-6)


def test_numbers_are_the_shortest_that_give_the_float32_back(app: ASGIApp) -> None:
    content = post(app, "/embed", {"inputs": "hello"}).content
    values = json.loads(content)[0]
    assert b" " not in content
    assert all(str(np.float32(value)) == repr(value) or "e" in repr(value) for value in values)
    longest = max(len(part) for part in content.strip(b"[]").split(b","))
    assert longest <= len("-0.0012345678e-05")


def test_numbers_have_an_exponent_where_serde_s_have_one() -> None:
    values = np.array(
        [1e-5, 1.234e-7, 1e-6, 1e12, 1e13, 1.0, -0.0, 0.1, np.nan, np.inf], np.float32
    )
    assert numpy_json(values) == (
        b"[0.00001,1.234e-7,0.000001,1000000000000.0,1e+13,1.0,-0.0,0.1,null,null]"
    )


def test_without_normalization_the_pooled_vector_comes_as_it_is(app: ASGIApp) -> None:
    reply = post(app, "/embed", {"inputs": "the cat", "normalize": False})
    np.testing.assert_allclose(reply.json, [tiny.reference(tiny.ids_of("the cat"))], atol=1e-6)


@pytest.mark.parametrize("dimensions", [1, 7, tiny.DIMENSIONS])
def test_dimensions_are_cut_before_normalizing(app: ASGIApp, dimensions: int) -> None:
    reply = post(app, "/embed", {"inputs": "the cat", "dimensions": dimensions})
    np.testing.assert_allclose(reply.json, [expected("the cat", dimensions)], atol=1e-6)


def test_a_named_prompt_goes_before_the_text(app: ASGIApp) -> None:
    reply = post(app, "/embed", {"inputs": "cat", "prompt_name": "query"})
    np.testing.assert_allclose(reply.json, [expected("query: cat")], atol=1e-6)


def test_truncation_is_on_unless_the_request_says_otherwise(app: ASGIApp) -> None:
    long = "a b c d e " * 4
    right = post(app, "/embed", {"inputs": long, "truncation_direction": "Right"}).json
    left = post(app, "/embed", {"inputs": long, "truncation_direction": "left"}).json
    np.testing.assert_allclose(right, [expected("a b c d e a b c d e")], atol=1e-6)
    np.testing.assert_allclose(left, [expected("a b c d e a b c d e")], atol=1e-6)
    reply = post(app, "/embed", {"inputs": long, "truncate": False})
    assert reply.status == 422
    assert reply.content == (
        b'{"error":"Input validation error: `inputs` must have less than 12 tokens. Given: 22",'
        b'"error_type":"Validation"}'
    )


def test_auto_truncation_can_be_switched_off(make_service: MakeService) -> None:
    _, app = make_service(auto_truncate=False)
    assert post(app, "/embed", {"inputs": "a " * 20}).status == 422
    assert post(app, "/embed", {"inputs": "a " * 20, "truncate": True}).status == 200


def test_token_ids_are_an_input(app: ASGIApp) -> None:
    ids = tiny.ids_of("the cat").tolist()
    for inputs in (ids, [ids], [ids, "the cat"]):
        reply = post(app, "/embed", {"inputs": inputs})
        np.testing.assert_allclose(reply.json[0], expected("the cat"), atol=1e-6)


@pytest.mark.parametrize("path", ["/", "/invocations"])
def test_aliases_of_embed(app: ASGIApp, path: str) -> None:
    reply = post(app, path, {"inputs": "the cat"})
    np.testing.assert_allclose(reply.json, [expected("the cat")], atol=1e-6)


@pytest.mark.parametrize(
    ("body", "status", "kind", "text"),
    [
        ({"inputs": ""}, 400, "Empty", "Input validation error: `inputs` cannot be empty"),
        ({"inputs": []}, 400, "Empty", "Input validation error: `inputs` cannot be empty"),
        ({"inputs": ["a", []]}, 400, "Empty", "Input validation error: `inputs` cannot be empty"),
        ({"inputs": ["a"] * 33}, 422, "Validation", "batch size 33 > maximum allowed batch size 32; --max-client-batch-size raises it"),
        ({"inputs": "a", "dimensions": 0}, 422, "Validation", "Input validation error: `dimensions` should be positive"),
        ({"inputs": "a", "dimensions": 17}, 422, "Validation", "Input validation error: `dimensions` should be smaller than the maximum embedding dimension."),
        ({"inputs": "a" * 3001, "truncate": False}, 422, "Validation", "Input validation error: `inputs` must have less than 3000 characters. Given: 3001"),
        ({"inputs": "a", "prompt_name": "nope"}, 422, "Validation", "Input validation error: `default-prompt-name` is set to `nope` but it was not found in the Sentence Transformers prompts. Available prompts: [\"query\", \"passage\"]"),
        ({"inputs": [4_000_000_000]}, 422, "Validation", "Input validation error: `inputs` has no tokens"),
        ({"inputs": [[5], [800]]}, 422, "Validation", "Input validation error: `inputs` has no tokens"),
    ],
)  # fmt: skip
def test_errors_are_worded_as_tei_words_them(
    app: ASGIApp, body: Any, status: int, kind: str, text: str
) -> None:
    reply = post(app, "/embed", body)
    assert (reply.status, reply.json) == (status, {"error": text, "error_type": kind})
    assert reply.headers["content-type"] == "application/json"
    assert "x-compute-time" not in reply.headers


def test_the_order_of_checks(make_service: MakeService) -> None:
    service, app = make_service(max_concurrent_requests=4, max_client_batch_size=5)
    too_many = {"inputs": ["", *["a"] * 5], "dimensions": 0}
    no_permits = {"inputs": ["", *["a"] * 4], "dimensions": 0}
    no_dimensions = {"inputs": ["", "a"], "dimensions": 0}
    with service.model.engine.admission.permits.taken(3):
        assert post(app, "/embed", too_many).json["error"].startswith("batch size 6")
        assert post(app, "/embed", no_permits).json["error"] == "Model is overloaded"
    assert "positive" in post(app, "/embed", no_dimensions).json["error"]
    for inputs in (["", "a"], ["a", ""]):  # of which TEI names the first one's dimensions
        reply = post(app, "/embed", {"inputs": inputs, "dimensions": 99})
        assert (reply.status, reply.json["error_type"]) == (400, "Empty")


def test_success_carries_tei_s_timing_headers(app: ASGIApp) -> None:
    reply = post(app, "/embed", {"inputs": ["héllo", [2, 4, 3]], "prompt_name": "query"})
    assert reply.headers["x-compute-type"] == "gpu+optimized"
    assert reply.headers["x-compute-characters"] == str(5 + 3)  # the prompt does not count
    tokens = len(tiny.ids_of("query: héllo")) + len(tiny.ids_of("query: a"))
    assert reply.headers["x-compute-tokens"] == str(tokens)
    for name in ("compute", "total", "tokenization", "queue", "inference"):
        assert reply.headers[f"x-{name}-time"].isdigit()


def test_openai_s_answer(app: ASGIApp) -> None:
    body = {"input": ["the cat", "a"], "model": "any", "user": "me"}
    answer = post(app, "/v1/embeddings", body).json
    assert list(answer) == ["object", "data", "model", "usage"]
    assert answer["object"] == "list"
    assert [list(item) for item in answer["data"]] == [["object", "embedding", "index"]] * 2
    assert [item["index"] for item in answer["data"]] == [0, 1]
    tokens = len(tiny.ids_of("the cat")) + len(tiny.ids_of("a"))
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    np.testing.assert_allclose(answer["data"][0]["embedding"], expected("the cat"), atol=1e-6)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
def test_base64_holds_little_endian_float32(app: ASGIApp, path: str) -> None:
    plain = post(app, path, {"input": "a b"}).json["data"][0]["embedding"]
    coded = post(app, path, {"input": "a b", "encoding_format": "base64"}).json
    decoded = np.frombuffer(base64.b64decode(coded["data"][0]["embedding"]), "<f4")
    np.testing.assert_array_equal(decoded, np.array(plain, np.float32))


def test_openai_s_dimensions(app: ASGIApp) -> None:
    body = {"input": "a b", "dimensions": 3}
    vector = post(app, "/v1/embeddings", body).json["data"][0]["embedding"]
    np.testing.assert_allclose(vector, expected("a b", 3), atol=1e-6)


def test_openai_s_errors_are_flat_and_carry_an_error_object(app: ASGIApp) -> None:
    reply = post(app, "/v1/embeddings", {"input": ""})
    text = "Input validation error: `inputs` cannot be empty"
    assert reply.status == 400
    assert reply.json == {
        "message": text,
        "code": 400,
        "type": "Empty",
        "error": {"message": text, "type": "Empty", "param": None, "code": 400},
    }


def test_answers_name_the_served_model(make_service: MakeService) -> None:
    _, app = make_service(served_model_name="mine")
    assert post(app, "/v1/embeddings", {"input": "a", "model": "theirs"}).json["model"] == "mine"
    assert request(app, "GET", "/info").json["served_model_name"] == "mine"


def test_a_default_prompt_goes_before_every_input(make_service: MakeService) -> None:
    for setting in ({"default_prompt_name": "query"}, {"default_prompt": "query: "}):
        _, app = make_service(**setting)
        reply = post(app, "/v1/embeddings", {"input": "cat"})
        vector = reply.json["data"][0]["embedding"]
        np.testing.assert_allclose(vector, expected("query: cat"), atol=1e-6)
        replaced = post(app, "/embed", {"inputs": "cat", "prompt_name": "passage"})
        np.testing.assert_allclose(replaced.json, [expected("cat")], atol=1e-6)


@pytest.mark.parametrize("setting", [{"default_prompt": "q: "}, {"default_prompt_name": "query"}])
def test_a_default_prompt_of_a_model_that_takes_pairs_ends_the_start(
    make_service: MakeService, tmp_path: Path, setting: dict[str, str]
) -> None:
    tiny.build(tmp_path, "reranker")
    with pytest.raises(StartupError, match=r"is a reranker, .*: leave the option out$") as caught:
        make_service(model_id=str(tmp_path), **setting)
    assert str(caught.value).startswith(f"--{next(iter(setting)).replace('_', '-')} (")


@pytest.mark.parametrize(
    ("prompts", "fault"),
    [
        (tiny.PROMPTS, 'it was not found in the Sentence Transformers prompts. Available prompts: ["query", "passage"]'),
        ({}, "no prompts were found in the Sentence Transformers configuration"),
    ],
)  # fmt: skip
def test_a_default_prompt_that_is_not_there_ends_the_start(
    make_service: MakeService, tmp_path: Path, prompts: dict[str, str], fault: str
) -> None:
    tiny.seal(tmp_path, replace(tiny.build(tmp_path), prompts=prompts))
    with pytest.raises(StartupError) as caught:
        make_service(model_id=str(tmp_path), default_prompt_name="nope")
    assert f"`default-prompt-name` is set to `nope` but {fault}" in str(caught.value)


def test_a_prompt_by_name_where_the_model_has_none(
    make_service: MakeService, tmp_path: Path
) -> None:
    tiny.seal(tmp_path, replace(tiny.build(tmp_path), prompts={}))
    _, app = make_service(model_id=str(tmp_path))
    reply = post(app, "/embed", {"inputs": "a", "prompt_name": "query"})
    assert (reply.status, reply.json["error_type"]) == (422, "Validation")
    assert reply.json["error"] == (
        "Input validation error: `default-prompt-name` is set to `query` but no prompts were found "
        "in the Sentence Transformers configuration"
    )


def test_another_pooling_can_be_chosen_at_start(make_service: MakeService) -> None:
    _, app = make_service(pooling="cls")
    reply = post(app, "/embed", {"inputs": "the cat"})
    np.testing.assert_allclose(
        reply.json, [tiny.unit(tiny.token_vectors(tiny.ids_of("the cat"))[0])], atol=1e-6
    )
    assert request(app, "GET", "/info").json["model_type"] == {"embedding": {"pooling": "cls"}}


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


@pytest.mark.parametrize("path", ["/health", "/ping", "/"])
def test_health_is_empty_while_all_is_well(app: ASGIApp, path: str) -> None:
    reply = request(app, "GET", path, headers={})
    assert (reply.status, reply.content) == (200, b"")
    assert "content-type" not in reply.headers


def test_health_follows_the_last_run_and_recovers(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, app = make_service()
    session = service.model.engine._worker._runners._idle[0].session

    def fail(*_: object) -> None:
        raise BackendFailed("Backend error: gone")

    monkeypatch.setattr(type(session), "run", fail)
    reply = post(app, "/embed", {"inputs": "a"})
    assert (reply.status, reply.json["error_type"]) == (424, "Backend")
    sick = request(app, "GET", "/health")
    assert (sick.status, sick.json) == (503, {"error": "unhealthy", "error_type": "Unhealthy"})
    monkeypatch.undo()
    assert request(app, "GET", "/health").status == 200


def test_health_is_503_while_draining(make_service: MakeService) -> None:
    service, app = make_service()
    service.lifecycle.end()
    assert request(app, "GET", "/health").status == 503
    reply = post(app, "/embed", {"inputs": "a"})
    assert (reply.status, reply.headers["connection"]) == (200, "close")


def test_metrics_count_what_happened(app: ASGIApp) -> None:
    assert "te_request_count" not in request(app, "GET", "/metrics").text
    post(app, "/embed", {"inputs": "a"})
    post(app, "/embed", {"inputs": ["a", "b c"]})
    post(app, "/v1/embeddings", {"input": ["a"], "dimensions": 99})
    post(app, "/embed", {"inputs": ""})
    post(app, "/embed", {"inputs": "a", "dimensions": 0})
    post(app, "/embed", {"inputs": ["a"] * 33})
    post(app, "/embed", {"inputs": 5})
    reply = request(app, "GET", "/metrics")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    lines = reply.text.splitlines()
    for line in (
        'te_request_count{method="single"} 3',
        'te_request_count{method="batch"} 3',
        'te_request_success{method="single"} 1',
        'te_request_success{method="batch"} 1',
        'te_request_failure{err="tokenization"} 1',
        'te_request_failure{err="validation"} 2',
        'te_request_failure{err="batch_size"} 1',
        "te_embed_success 3",
        "te_request_duration_count 2",
        "te_embed_duration_count 3",
        "te_request_input_length_count 3",
        "te_request_input_length_sum 10",
        "te_queue_size 0",
    ):
        assert line in lines


# The transport: what is answered before any dialect sees the request.


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/x+json",
        # No strict MIME types, which TEI refuses.
        "application/json ; x=y",
        "application/json; charset",
        "application/json;;",
        'application/json; q="a',
        "application/+json",
    ],
)
def test_json_types_are_read(app: ASGIApp, content_type: str) -> None:
    headers = {"content-type": content_type}
    assert request(app, "POST", "/embed", b'{"inputs":"a"}', headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/json"},
        {"content-type": "application/json+x"},
        {"content-type": "application/x-www-form-urlencoded"},
    ],
)
def test_other_types_are_415_before_anything_is_parsed(
    app: ASGIApp, headers: dict[str, str]
) -> None:
    reply = request(app, "POST", "/embed", b"\xff", headers)
    assert reply.status == 415
    assert reply.text == "Expected request with `Content-Type: application/json`"
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_compressed_body_is_read_as_it_comes(app: ASGIApp) -> None:
    content = gzip.compress(b'{"inputs":"' + b"a" * 10_000_000 + b'"}')  # nothing inflates it
    reply = request(app, "POST", "/embed", content, JSON | {"content-encoding": "gzip"})
    assert reply.status == 400
    assert reply.text.startswith("Failed to parse the request body as JSON: ")


def test_a_body_of_the_limit_is_read_and_one_byte_more_is_413(make_service: MakeService) -> None:
    _, app = make_service(payload_limit=20)
    fits = b'{"inputs":"a"}'.ljust(20)
    assert request(app, "POST", "/embed", fits).status == 200
    for chunks in ([fits + b" "], [fits, b" "], [b" "] * 21):
        reply = request(app, "POST", "/embed", chunks)
        assert reply.status == 413
        assert reply.text == (
            "Failed to buffer the request body: length limit exceeded; --payload-limit raises it"
        )
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_declared_length_over_the_limit_is_refused_unread(make_service: MakeService) -> None:
    _, app = make_service(payload_limit=20)
    headers = {"content-type": "application/json", "content-length": "21"}
    scope = make_scope("POST", "/embed", headers)
    reply = asyncio.run(send_request(app, scope, []))
    assert reply.status == 413


def test_a_body_in_pieces_is_one_body(app: ASGIApp) -> None:
    pieces = [bytes([byte]) for byte in b'{"inputs":"the cat"}']
    reply = request(app, "POST", "/embed", pieces)
    np.testing.assert_allclose(reply.json, [expected("the cat")], atol=1e-6)


def test_malformed_and_mistyped_bodies_are_text_on_every_route(app: ASGIApp) -> None:
    for path in ("/embed", "/v1/embeddings"):
        malformed = request(app, "POST", path, b"{")
        mistyped = request(app, "POST", path, b"{}")
        assert (malformed.status, mistyped.status) == (400, 422)
        assert malformed.headers["content-type"] == "text/plain; charset=utf-8"
        assert malformed.text.startswith("Failed to parse the request body as JSON: EOF")
        assert mistyped.text.startswith("Failed to deserialize the JSON body into the target type:")


@pytest.mark.parametrize("path", ["/nope", "/embed/", "//embed", "//embeddings", "/v1", "/v1/", "//v1", "/v1/embed/", "/embed/x", "/%2e%2e", "/v3//embeddings", "/v1/../embed", "/%76%31/embeddings/"])  # fmt: skip
def test_unknown_paths_are_404_and_empty(app: ASGIApp, path: str) -> None:
    for method in ("GET", "POST"):
        reply = request(app, method, path, b"{}")
        assert (reply.status, reply.content) == (404, b"")
        assert "location" not in reply.headers
        assert "content-type" not in reply.headers


@pytest.mark.parametrize(
    "path", ["/v1/embeddings/", "//v1/embeddings", "/v1//embeddings", "///v1/embeddings//?a=//"]
)
def test_a_base_url_may_end_in_a_slash(app: ASGIApp, path: str) -> None:
    plain = post(app, "/v1/embeddings", {"input": "a"})
    assert post(app, path, {"input": "a"}).content == plain.content
    assert request(app, "GET", path).headers["allow"] == "POST"
    answers = [
        line
        for line in request(app, "GET", "/metrics").text.splitlines()
        if line.startswith('te_http_response_count{path="') and "v1" in line
    ]
    assert answers == [
        'te_http_response_count{path="/v1/embeddings",status="200"} 2',
        'te_http_response_count{path="/v1/embeddings",status="405"} 1',
    ]


def test_so_may_that_of_every_route_of_such_a_dialect(make_service: MakeService) -> None:
    _, app = make_service(api_key="k", aip_predict_route="/v1//mine/", aip_health_route="/v1/")
    for path in ("/v1/rerank/", "//v2/rerank", "//v1/models", "/v1/mine"):
        assert request(app, "POST", path, b"{}").status in {401, 405}
    key = {"authorization": "Bearer k"}
    assert request(app, "GET", "//v1/models/", headers=key).json["object"] == "list"
    body = b'{"instances":[]}'
    assert request(app, "POST", "/v1/mine/", body, JSON | key).json == {"predictions": []}
    assert request(app, "POST", "/v1//mine/", body, JSON | key).json == {"predictions": []}
    assert request(app, "GET", "/v1/", headers={}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/embed", "POST"),
        ("PUT", "/v1/embeddings", "POST"),
        ("POST", "/health", "GET,HEAD"),
        ("DELETE", "/info", "GET,HEAD"),
        ("PATCH", "/", "POST,GET,HEAD"),
    ],
)
def test_other_methods_are_405_and_empty(app: ASGIApp, method: str, path: str, allow: str) -> None:
    reply = request(app, method, path, b"{}")
    assert (reply.status, reply.content, reply.headers["allow"]) == (405, b"", allow)


def test_head_is_answered_where_get_is(app: ASGIApp) -> None:
    assert request(app, "HEAD", "/info").status == 200
    assert request(app, "HEAD", "/health").status == 200


# The API key.

KEY = {"authorization": "Bearer secret", "content-type": "application/json"}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "secret",
        "bearer secret",
        "",
        "Bearer",
        "Bearer ",
        "Bearer  secret",
        "Bearer secret ",
        "Bearer wrong",
        "Bearer ñ",
    ],
)
def test_without_the_exact_key_nothing_protected_answers(
    make_service: MakeService, authorization: str | None
) -> None:
    _, app = make_service(api_key="secret")
    headers = {} if authorization is None else {"authorization": authorization}
    for method, path in (("POST", "/embed"), ("GET", "/embed"), ("GET", "/info"), ("POST", "/")):
        reply = request(app, method, path, b"\xff", headers)
        assert (reply.status, reply.content) == (401, b"")
        assert "www-authenticate" not in reply.headers
        assert "content-type" not in reply.headers


def test_with_the_key_every_route_answers(make_service: MakeService) -> None:
    _, app = make_service(api_key="secret")
    assert request(app, "POST", "/embed", b'{"inputs":"a"}', KEY).status == 200
    assert request(app, "GET", "/info", headers=KEY).status == 200
    assert request(app, "GET", "/embed", headers=KEY).status == 405


def test_probes_and_unknown_paths_need_no_key(make_service: MakeService) -> None:
    _, app = make_service(api_key="secret")
    for path in ("/health", "/ping", "/", "/metrics"):
        assert request(app, "GET", path, headers={}).status == 200
    assert request(app, "PUT", "/", headers={}).status == 405
    assert request(app, "GET", "/nope", headers={}).status == 404
    assert request(app, "OPTIONS", "/embed", headers={}).status == 200


def test_a_server_without_a_key_ignores_what_clients_send(app: ASGIApp) -> None:
    headers = {"authorization": "undefined", "content-type": "application/json"}
    assert request(app, "POST", "/embed", b'{"inputs":"a"}', headers).status == 200


# CORS.

VARY = "origin, access-control-request-method, access-control-request-headers"


def test_any_origin_may_call_by_default(app: ASGIApp) -> None:
    for method, path in (
        ("GET", "/health"),
        ("GET", "/nope"),
        ("POST", "/embed"),
        ("PUT", "/info"),
    ):
        reply = request(app, method, path)
        assert reply.headers["vary"] == VARY
        assert reply.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/embed", "/nope"])
def test_options_is_a_preflight_on_every_path(app: ASGIApp, path: str) -> None:
    reply = request(app, "OPTIONS", path, headers={})
    assert (reply.status, reply.content) == (200, b"")
    assert reply.headers["access-control-allow-methods"] == "GET,POST"
    assert reply.headers["access-control-allow-headers"] == "content-type"


@pytest.mark.parametrize("origins", [(), ("https://a.example",)])
def test_a_page_may_send_the_key_that_is_needed(
    make_service: MakeService, origins: tuple[str, ...]
) -> None:
    _, app = make_service(api_key="k", cors_allow_origin=origins)
    asking = {
        "origin": "https://a.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    reply = request(app, "OPTIONS", "/embed", headers=asking)
    assert reply.headers["access-control-allow-headers"] == "content-type,authorization"
    assert reply.headers["access-control-allow-origin"] == (origins[0] if origins else "*")


def test_listed_origins_are_echoed_and_others_are_not(make_service: MakeService) -> None:
    _, app = make_service(cors_allow_origin=("https://a.example", "https://b.example"))
    echoed = request(app, "GET", "/health", headers={"origin": "https://b.example"})
    other = request(app, "GET", "/health", headers={"origin": "https://c.example"})
    none = request(app, "GET", "/health", headers={})
    assert echoed.headers["access-control-allow-origin"] == "https://b.example"
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in none.headers
    assert other.headers["vary"] == none.headers["vary"] == VARY


# Clients that go away.


def test_a_client_that_goes_away_frees_its_permits_and_is_not_computed(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, app = make_service(max_concurrent_requests=8, threads=1)
    session = service.model.engine._worker._runners._idle[0].session
    real_run = type(session).run
    rows: list[int] = []

    async def scenario() -> None:
        import threading

        running, go_on = threading.Event(), threading.Event()

        def slow_run(self: Any, batch: Any, outputs: Any) -> Any:
            rows.append(len(batch.input_ids))
            running.set()
            assert go_on.wait(10)
            return real_run(self, batch, outputs)

        monkeypatch.setattr(type(session), "run", slow_run)
        scope = make_scope("POST", "/embed", {"content-type": "application/json"})
        gone = asyncio.Event()
        first = asyncio.create_task(send_request(app, dict(scope), [b'{"inputs":["a","b"]}']))
        await asyncio.to_thread(running.wait, 10)
        body = b'{"inputs":["a","b","c"]}'
        second = asyncio.create_task(send_request(app, dict(scope), [body], gone))
        while "te_queue_size 3" not in service.metrics.render():  # noqa: ASYNC110  # set by a thread
            await asyncio.sleep(0)
        assert service.model.engine.admission.permits.free == 3
        gone.set()
        assert (await second).status == 0
        assert service.model.engine.admission.permits.free == 6
        go_on.set()
        assert (await first).status == 200
        assert service.model.engine.admission.permits.free == 8

    asyncio.run(scenario())
    assert rows == [2]
    assert post(app, "/embed", {"inputs": "a"}).status == 200
    assert 'te_request_failure{err="dropped"} 3' in request(app, "GET", "/metrics").text


def test_a_client_that_goes_away_during_its_body_gets_nothing(app: ASGIApp) -> None:
    async def scenario() -> int:
        messages = [
            {"type": "http.request", "body": b'{"inp', "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await app(make_scope("POST", "/embed", {"content-type": "application/json"}), receive, send)
        return len(sent)

    assert asyncio.run(scenario()) == 0


def test_a_fault_of_ours_is_500_and_tells_nothing(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, app = make_service()

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr("app.inference.engine.finish", broken)
    scope = make_scope("POST", "/embed", {"content-type": "application/json"})
    replies: list[Any] = []

    async def scenario() -> None:
        sent: list[Any] = []
        messages = [{"type": "http.request", "body": b'{"inputs":"a"}', "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop(0)
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        with pytest.raises(ZeroDivisionError):  # the server logs it
            await app(scope, receive, send)
        replies.extend(sent)

    asyncio.run(scenario())
    assert replies[0]["status"] == 500
    assert replies[1]["body"] == b'{"error":"internal error","error_type":"Backend"}'
    assert service.model.engine.admission.permits.free == 512


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
