"""The list of models, and one of them, in OpenAI's shape."""

from collections.abc import Callable

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tools.asgi import request

MakeService = Callable[..., tuple[Service, ASGIApp]]


@pytest.fixture
def app(make_service: MakeService) -> ASGIApp:
    return make_service(served_model_name="org/name")[1]


def test_the_models_are_listed(app: ASGIApp) -> None:
    reply = request(app, "GET", "/v1/models")
    assert (reply.status, reply.json["object"]) == (200, "list")
    [one] = reply.json["data"]
    assert (one["id"], one["object"], one["owned_by"]) == ("org/name", "model", "local")


@pytest.mark.parametrize("name", ["org/name", "org%2Fname", "org%2fname", "/org/name/"])
def test_a_model_by_its_name(app: ASGIApp, name: str) -> None:
    reply = request(app, "GET", f"/v1/models/{name}")
    assert reply.status == 200
    assert reply.json == request(app, "GET", "/v1/models").json["data"][0]


def test_a_model_by_the_folder_that_is_its_id(make_service: MakeService) -> None:
    service, app = make_service()
    assert service.model.name.startswith("/")
    reply = request(app, "GET", f"/v1/models/{service.model.name}")
    assert (reply.status, reply.json["id"]) == (200, service.model.name)


def test_an_unknown_model_is_not_found(app: ASGIApp) -> None:
    reply = request(app, "GET", "/v1/models/nope")
    assert (reply.status, reply.headers["content-type"]) == (404, "application/json")
    assert reply.json["error"] == {
        "message": "The model `nope` does not exist; there are: `org/name`",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


def test_all_are_counted_as_one_path(app: ASGIApp) -> None:
    for name in ("org/name", "org%2Fname", "nope", "none"):
        request(app, "GET", f"/v1/models/{name}")
    request(app, "PUT", "/v1/models/any")
    lines = request(app, "GET", "/metrics").text.splitlines()
    assert [one for one in lines if "/v1/models" in one] == [
        'te_http_response_count{path="/v1/models/{id:path}",status="200"} 2',
        'te_http_response_count{path="/v1/models/{id:path}",status="404"} 2',
        'te_http_response_count{path="/v1/models/{id:path}",status="405"} 1',
    ]


def test_a_key_is_needed(make_service: MakeService) -> None:
    _, app = make_service(api_key="k", served_model_name="org/name")
    assert request(app, "GET", "/v1/models/org/name", headers={}).status == 401
    key = {"authorization": "Bearer k"}
    assert request(app, "GET", "/v1/models/org/name", headers=key).status == 200
