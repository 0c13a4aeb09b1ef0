"""Inference: the numbers of the other routes, bit for bit, in JSON and in binary."""

from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.api.conftest import MakeKind
from tests.api.verbs.conftest import MakeService
from tests.support.tensors import (
    LENGTH,
    in_binary,
    octets_of,
    output_of,
    packed,
    post_binary,
    tensor,
)
from tools import tiny
from tools.asgi import post, request

TEXTS = ["the cat sat", "a b c d"]
PATH = "/v2/models/m/infer"
BINARY = {"binary_data_output": True}


@pytest.fixture
def served(make_service: MakeService) -> tuple[Service, ASGIApp]:
    return make_service(served_model_name="m")


@pytest.fixture
def app(served: tuple[Service, ASGIApp]) -> ASGIApp:
    return served[1]


def infer(app: ASGIApp, texts: list[str] = TEXTS, **members: Any) -> Any:
    return output_of(post(app, PATH, {"inputs": [tensor("text", texts)], **members}))


def test_the_answer_is_the_protocol_s(app: ASGIApp) -> None:
    reply = post(app, PATH, {"id": "42", "inputs": [tensor("text", TEXTS)]})
    assert reply.headers["content-type"] == "application/json"
    assert LENGTH not in reply.headers
    answer, rows = output_of(reply)
    assert list(answer) == ["model_name", "model_version", "id", "outputs"]
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("m", "1", "42")
    [output] = answer["outputs"]
    assert list(output) == ["name", "datatype", "shape", "data"]
    assert (output["name"], output["shape"]) == ("embedding", [2, tiny.DIMENSIONS])
    assert len(output["data"]) == 2 * tiny.DIMENSIONS
    vectors = [tiny.unit(tiny.reference(tiny.ids_of(text))) for text in TEXTS]
    np.testing.assert_allclose(rows, vectors, atol=1e-6)


def test_without_an_id_there_is_none(app: ASGIApp) -> None:
    assert "id" not in infer(app)[0]
    assert infer(app, id="")[0]["id"] == ""


OPTIONS: list[dict[str, Any]] = [
    {},
    {"normalize": False},
    {"dimensions": 3},
    {"normalize": False, "dimensions": 5},
    {"prompt_name": "query"},
    {"truncate": True, "truncation_direction": "Left"},
    {"normalize": None, "dimensions": None, "prompt_name": None, "truncate": None},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("is_binary", [False, True])
def test_vectors_are_those_of_embed_bit_for_bit(
    app: ASGIApp, options: dict[str, Any], is_binary: bool
) -> None:
    texts = [*TEXTS, "a b c d e " * 4 + "cat"]
    expected = octets_of(app, "/embed", {"inputs": texts, **options})
    _, rows = infer(app, texts, parameters={**options, "binary_data_output": is_binary})
    assert rows.tobytes() == expected
    data = packed(texts)
    body = {"inputs": [in_binary("text", [3, 1], len(data))], "parameters": options}
    output = {"name": "embedding", "parameters": {"binary_data": is_binary}}
    _, rows = output_of(post_binary(app, PATH, {**body, "outputs": [output]}, data))
    assert rows.tobytes() == expected


@pytest.mark.parametrize(
    ("parameters", "outputs", "is_binary"),
    [
        (None, None, False),
        (BINARY, None, True),
        (BINARY, [], True),
        (BINARY, [{"name": "embedding"}], True),
        (BINARY, [{"name": "embedding", "parameters": {"binary_data": False}}], False),
        (None, [{"name": "embedding", "parameters": {"binary_data": True}}], True),
        ({"binary_data_output": False}, [{"name": "embedding", "parameters": {}}], False),
    ],
)
def test_an_output_says_more_than_the_request(
    app: ASGIApp, parameters: Any, outputs: Any, is_binary: bool
) -> None:
    body = {"inputs": [tensor("text", TEXTS)], "parameters": parameters, "outputs": outputs}
    reply = post(app, PATH, body)
    assert (LENGTH in reply.headers) is is_binary
    assert output_of(reply)[1].shape == (2, tiny.DIMENSIONS)


@pytest.mark.parametrize(
    "members",
    [{}, {"shape": [2, 1]}, {"shape": [2, 1], "data": [[one] for one in TEXTS]}],
)
def test_texts_may_stand_in_rows_of_one(app: ASGIApp, members: dict[str, Any]) -> None:
    found = output_of(post(app, PATH, {"inputs": [tensor("text", TEXTS, **members)]}))[1]
    assert found.tobytes() == octets_of(app, "/embed", {"inputs": TEXTS})


def test_any_text_goes_there_in_binary(app: ASGIApp) -> None:
    texts = ["猫", "a\0b", 'He said "no"\n', "cat " * 500, "😀", " "]
    data = packed(texts)
    found = output_of(post_binary(app, PATH, {"inputs": [in_binary("text", [6], len(data))]}, data))
    assert found[1].tobytes() == octets_of(app, "/embed", {"inputs": texts})


def test_parameters_of_others_change_nothing(app: ASGIApp) -> None:
    of_triton = {"sequence_id": 7, "sequence_start": True, "priority": 1, "timeout": 5, "mine": "x"}
    assert infer(app, parameters=of_triton)[1].tobytes() == infer(app)[1].tobytes()


def test_truncation_is_reported_and_refused_where_not_allowed(app: ASGIApp) -> None:
    long = tensor("text", ["a", "a b c d e " * 4])
    assert post(app, PATH, {"inputs": [long]}).headers["x-truncated-indexes"] == "1"
    reply = post(app, PATH, {"inputs": [long], "parameters": {"truncate": False}})
    assert (reply.status, "less than" in reply.json["error"]) == (422, True)


def test_an_answer_says_what_computed_it(served: tuple[Service, ASGIApp]) -> None:
    service, app = served
    headers = post(app, PATH, {"inputs": [tensor("text", TEXTS)]}).headers
    assert headers["x-model-fingerprint"] == service.model.loaded.fingerprint
    assert headers["x-compute-tokens"] == str(sum(len(tiny.ids_of(text)) for text in TEXTS))


def test_it_counts_as_every_verb_does(app: ASGIApp) -> None:
    infer(app)
    post(app, PATH, {"inputs": [tensor("text", ["a"] * 33)]})
    post(app, PATH, {"inputs": [tensor("words", TEXTS)]})
    post(app, "/v2/models/other/infer", {})
    lines = request(app, "GET", "/metrics").text.splitlines()
    path = "/v2/models/{name:path}/infer"
    for line in (
        'te_request_count{method="batch"} 1',
        'te_request_success{method="batch"} 1',
        "te_embed_count 2",
        "te_embed_success 2",
        'te_request_failure{err="batch_size"} 1',
        'te_request_failure{err="validation"} 2',
        f'te_http_response_count{{path="{path}",status="200"}} 1',
        f'te_http_response_count{{path="{path}",status="422"}} 2',
        f'te_http_response_count{{path="{path}",status="404"}} 1',
    ):
        assert line in lines, line


def test_a_reranker_scores_each_text_for_its_query(make_kind: MakeKind) -> None:
    app = make_kind("reranker", served_model_name="m")
    texts = ["b c", "the cat", "dog", "a"]
    for raw in (False, True):
        asked = {"query": "the cat", "texts": texts, "raw_scores": raw}
        ranked = {one["index"]: one["score"] for one in post(app, "/rerank", asked).json}
        expected = np.array([[ranked[place]] for place in range(4)], np.float32)
        for query in (["the cat"], ["the cat"] * 4):
            inputs = [tensor("text", texts), tensor("query", query)]
            body = {"inputs": inputs, "parameters": {"raw_scores": raw}}
            answer, rows = output_of(post(app, PATH, body))
            assert answer["outputs"][0]["name"] == "scores"
            assert rows.tobytes() == expected.tobytes()
    mixed = [tensor("query", texts), tensor("text", texts[::-1])]
    data = packed(texts) + packed(texts[::-1])
    halves = [in_binary(name, [4], len(data) // 2) for name in ("query", "text")]
    by_json = output_of(post(app, PATH, {"inputs": mixed, "parameters": BINARY}))[1]
    by_bytes = output_of(post_binary(app, PATH, {"inputs": halves}, data))[1]
    assert by_json.tobytes() == by_bytes.tobytes()
    assert "te_predict_success" in request(app, "GET", "/metrics").text


def test_a_classifier_scores_each_label_in_the_order_of_info(make_kind: MakeKind) -> None:
    app = make_kind("classifier", served_model_name="m")
    labels = request(app, "GET", "/info").json["model_type"]["classifier"]["label2id"]
    for raw in (False, True):
        asked = {"inputs": [[one] for one in TEXTS], "raw_scores": raw}
        expected = np.zeros((2, len(labels)), np.float32)
        for row, one in enumerate(post(app, "/predict", asked).json):
            for label in one:
                expected[row, labels[label["label"]]] = label["score"]
        answer, rows = infer(app, parameters={"raw_scores": raw})
        assert answer["outputs"][0]["name"] == "scores"
        assert rows.tobytes() == expected.tobytes()


def test_models_of_other_kinds_answer_as_embed_does(make_kind: MakeKind) -> None:
    splade = make_kind("splade", served_model_name="m")
    _, rows = infer(splade, parameters={"normalize": False})
    assert rows.tobytes() == octets_of(splade, "/embed", {"inputs": TEXTS, "normalize": False})
    for app in (splade, make_kind("multi_vector", served_model_name="m")):
        reply = post(app, PATH, {"inputs": [tensor("text", TEXTS)]})
        expected = post(app, "/embed", {"inputs": TEXTS})
        assert (reply.status, reply.json) == (424, {"error": expected.json["error"]})


def test_a_large_answer_comes_in_parts(make_service: MakeService) -> None:
    _, app = make_service(served_model_name="m", max_client_batch_size=9000, payload_limit=10**7)
    texts = ["a b", "c"] * 4500
    data = packed(texts)
    body = {"inputs": [in_binary("text", [9000], len(data))], "parameters": BINARY}
    reply = post_binary(app, PATH, body, data)
    assert "content-length" not in reply.headers
    expected = octets_of(app, "/embed", {"inputs": texts})
    assert output_of(reply)[1].tobytes() == expected
    assert infer(app, texts)[1].tobytes() == expected


def test_every_byte_and_permit_is_given_back(served: tuple[Service, ASGIApp]) -> None:
    service, app = served
    data = packed(["cat " * 40_000])  # more than is read without a thread
    body = {"inputs": [in_binary("text", [1], len(data))]}
    assert post_binary(app, PATH, body, data).status == 200
    assert post_binary(app, PATH, body, data[:-1]).status == 400
    assert post_binary(app, PATH, body, data[:-1] + b"\xff").status == 400
    assert service.bodies.free == service.bodies.total
    permits = service.model.engine.admission.permits
    assert permits.free == permits.total
