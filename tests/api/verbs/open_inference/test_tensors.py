"""Tensors of a request: those that do not fit the model are refused by name, in one line."""

from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.verbs.open_inference.tensors import described
from tests.api.conftest import MakeKind
from tests.api.verbs.conftest import MakeService
from tests.support.tensors import in_binary, output_of, packed, post_binary, tensor
from tools.asgi import post, request
from tools.client import JSON

TEXTS = ["a", "b c"]
PATH = "/v2/models/m/infer"
OUTPUT = {"name": "embedding"}


@pytest.fixture
def app(make_service: MakeService) -> ASGIApp:
    return make_service(served_model_name="m")[1]


def with_input(**members: Any) -> dict[str, Any]:
    return {"inputs": [tensor("text", TEXTS, **members)]}


def with_output(**parameters: Any) -> dict[str, Any]:
    return {**with_input(), "outputs": [{**OUTPUT, "parameters": parameters}]}


SHAPE = "and must have [n] or [n, 1]"
EITHER = "`text` needs either `data` or a `binary_data_size`"
REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"inputs": []}, 422, "the input `text` is missing"),
    (with_input(name="input-0"), 422, "there is no input `input-0`, but `text`"),
    (with_input(name="x" * 200), 422, f"there is no input `{'x' * 100}…`, but `text`"),
    ({"inputs": [tensor("text", TEXTS)] * 2}, 422, "the input `text` is given twice"),
    (
        with_input(datatype="FP32"),
        422,
        "`text` has the datatype `FP32`, and must have `BYTES`",
    ),
    (with_input(shape=[]), 422, f"`text` has the shape [], {SHAPE}"),
    (with_input(shape=[1, 2]), 422, f"`text` has the shape [1, 2], {SHAPE}"),
    (with_input(shape=[2, 0]), 422, f"`text` has the shape [2, 0], {SHAPE}"),
    (with_input(shape=[2, 1, 1]), 422, f"`text` has the shape [2, 1, 1], {SHAPE}"),
    (with_input(shape=[1]), 422, "`text` has 2 elements in `data`, and 1 by its shape"),
    (with_input(shape=[3, 1]), 422, "`text` has 2 elements in `data`, and 3 by its shape"),
    (with_input(data=None), 422, EITHER),
    (with_input(parameters={"binary_data_size": 0}), 422, EITHER),
    (
        with_input(data=None, parameters={"shared_memory_region": "r"}),
        422,
        "`text` is in shared memory, which cannot be read here",
    ),
    ({**with_input(), "outputs": [{"name": "x"}]}, 422, "there is no output `x`, but `embedding`"),
    ({**with_input(), "outputs": [OUTPUT] * 2}, 422, "the output `embedding` is asked for twice"),
    (with_output(classification=3), 422, "`classification` of outputs is not supported"),
    (with_output(shared_memory_region="r"), 422, "`shared_memory_region` of outputs is not"),
    ({**with_input(), "parameters": {"dimensions": 17}}, 422, "`dimensions` should be smaller"),
    ({**with_input(), "parameters": {"dimensions": 0}}, 422, "`dimensions` should be positive"),
    ({**with_input(), "parameters": {"prompt_name": "x"}}, 422, "`default-prompt-name` is set"),
    (with_input(shape=[0], data=[]), 400, "`text` cannot be empty"),
    (with_input(data=["a", ""]), 400, "`inputs` cannot be empty"),
    (with_input(shape=[2**64 - 1]), 422, f"batch size {2**64 - 1} > maximum allowed batch size 32"),
    (with_input(shape=[33]), 422, "batch size 33 > maximum allowed batch size 32; --max-client-b"),
    (with_input(data=[1, 2], datatype="INT64"), 422, "inputs[0].data: expected an array of str"),
    (with_input(shape=["2"]), 422, 'inputs[0].shape[0]: invalid type: string "2", expected usize'),
    ({}, 422, "missing field `inputs`"),
]


@pytest.mark.parametrize(("body", "status", "message"), REFUSED)
def test_what_does_not_fit_is_refused(
    app: ASGIApp, body: dict[str, Any], status: int, message: str
) -> None:
    reply = post(app, PATH, body)
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json) == ["error"]
    assert message in reply.json["error"]
    assert "\n" not in reply.json["error"]
    assert reply.status == status


DATA = packed(TEXTS)
BAD_DATA: list[tuple[Any, bytes, str]] = [
    (in_binary("text", [2], len(DATA) + 1), DATA, "is 13, and 12 bytes are left of the body"),
    (in_binary("text", [2], 2**64 - 1), DATA, "12 bytes are left of the body"),
    (in_binary("text", [2], len(DATA) - 1), DATA, "the data ends within element 1 of 2"),
    (in_binary("text", [2], len(DATA)), DATA + b"x", "1 bytes at the end of the body are of no"),
    (in_binary("text", [1], len(DATA)), DATA, "7 bytes are left behind 1 elements"),
    (in_binary("text", [3], len(DATA)), DATA, "the data ends within element 2 of 3"),
    (in_binary("text", [1], 3), b"\1\0\0", "the data ends within element 0 of 1"),
    (in_binary("text", [1], 5), packed([b"\xff"]), "element 0 is not UTF-8"),
    (tensor("text", TEXTS), DATA, "12 bytes at the end of the body are of no input"),
]


@pytest.mark.parametrize(("one", "data", "message"), BAD_DATA)
def test_wrong_sizes_of_binary_data_are_refused(
    app: ASGIApp, one: Any, data: bytes, message: str
) -> None:
    reply = post_binary(app, PATH, {"inputs": [one]}, data)
    assert (reply.status, message in reply.json["error"]) == (400, True)
    assert reply.json["error"].startswith("Failed to read the binary data of the request body: ")


def test_more_texts_than_a_request_may_have_are_not_read(make_service: MakeService) -> None:
    service, app = make_service(served_model_name="m", payload_limit=10**7)
    data = b"\0" * 4_000_000  # a million empty texts, or a header that lies about them
    reply = post_binary(app, PATH, {"inputs": [in_binary("text", [10**6], len(data))]}, data)
    assert (reply.status, "batch size 1000000 >" in reply.json["error"]) == (422, True)
    reply = post_binary(app, PATH, {"inputs": [in_binary("text", [32], len(data))]}, data)
    assert (reply.status, "bytes are left behind 32 elements" in reply.json["error"]) == (400, True)
    assert service.bodies.free == service.bodies.total


@pytest.mark.parametrize("value", ["-1", "99999999999", "1e3", "9" * 400])
def test_a_wrong_length_in_the_header_is_refused(app: ASGIApp, value: str) -> None:
    headers = {**JSON, "inference-header-content-length": value}
    reply = request(app, "POST", PATH, b"{}", headers)
    assert reply.status == 400
    assert "the header `inference-header-content-length` " in reply.json["error"]


def test_json_that_ends_early_is_no_json(app: ASGIApp) -> None:
    headers = {"inference-header-content-length": "5"}
    reply = request(app, "POST", PATH, b'{"inputs":[]}', headers)
    assert reply.status == 400
    assert reply.json["error"].startswith("Failed to parse the request body as JSON: EOF while")


def test_a_reranker_needs_a_query_for_all_or_for_each(make_kind: MakeKind) -> None:
    app = make_kind("reranker", served_model_name="m")
    for inputs, message in (
        ([tensor("text", TEXTS)], "the input `query` is missing"),
        ([tensor("query", TEXTS)], "the input `text` is missing"),
        ([], "the input `query` and `text` is missing"),
        ([tensor("text", TEXTS), tensor("x", TEXTS)], "there is no input `x`, but `query` and"),
        (
            [tensor("query", TEXTS), tensor("text", ["a"] * 3)],
            "`query` has 2 elements and `text` 3: give one query, or one for each text",
        ),
        ([tensor("query", []), tensor("text", ["a"])], "`query` has 0 elements and `text` 1"),
    ):
        reply = post(app, PATH, {"inputs": inputs})
        assert (reply.status, message in reply.json["error"]) == (422, True), reply.json
    empty = [tensor("query", ["a"]), tensor("text", [])]
    assert post(app, PATH, {"inputs": empty}).json == {"error": "`text` cannot be empty"}


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs"),
    [
        ("embedding", ["text"], ["embedding"]),
        ("whole", ["text"], ["embedding"]),
        ("splade", ["text"], ["embedding"]),
        ("classifier", ["text"], ["scores"]),
        ("reranker", ["query", "text"], ["scores"]),
        ("multi_vector", ["text"], []),
    ],
)
def test_a_model_s_tensors_are_those_that_it_takes_and_yields(
    make_service: MakeService, folders: Any, kind: str, inputs: list[str], outputs: list[str]
) -> None:
    service, app = make_service(model_id=str(folders[kind]), served_model_name="m")
    found = described(service.model.manifest)
    assert [one["name"] for one in found["inputs"]] == inputs
    assert [one["name"] for one in found["outputs"]] == outputs
    for one in found["outputs"]:
        body = {
            "inputs": [tensor(name, TEXTS) for name in inputs],
            "parameters": {"normalize": False},
        }
        answer, rows = output_of(post(app, PATH, body))
        assert answer["outputs"][0]["name"] == one["name"]
        assert one["shape"] == [-1, rows.shape[1]]
