"""Requests of the Open Inference Protocol: their two parts, their model, and their faults."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp

from app.api.http.forms.infer_form import InferForm, model_of
from app.api.http.service import Service
from app.errors import MalformedTensor, ModelNotFound
from tests.support.tensors import LENGTH, packed
from tools.asgi import make_scope, request

MakeService = Callable[..., tuple[Service, ASGIApp]]


@pytest.fixture
def served(make_service: MakeService) -> tuple[Service, ASGIApp]:
    return make_service(served_model_name="m")


def scope_of(name: str, **headers: str) -> Any:
    """Return a request whose path names the model in this way."""
    made = make_scope("POST", f"/v2/models/{name}/infer", headers)
    return {**made, "path_params": {"name": name}}


def test_a_body_is_json_and_what_is_behind_it(make_service: MakeService) -> None:
    service, _ = make_service(served_model_name="m")
    form = InferForm(service.models)
    posted = form.posted(scope_of("m", **{"inference-header-content-length": "2"}), b"{}abc")
    assert (posted.json, posted.beside, posted.verb.name) == (b"{}", 3, "infer")
    posted = form.posted(scope_of("m"), b"{}")
    assert (posted.json, posted.beside, posted.verb.counted_as) == (b"{}", 0, "embed")
    with pytest.raises(MalformedTensor, match="says 6 bytes, and the body has 5"):
        form.posted(scope_of("m", **{"inference-header-content-length": "6"}), b"{}abc")
    with pytest.raises(ModelNotFound):
        form.posted(scope_of("n"), b"{}")


@pytest.mark.parametrize("name", ["a b", "a%20b", "a b/versions/1", "a%20b/versions/1"])
def test_a_path_names_a_model_and_perhaps_its_version(make_service: MakeService, name: str) -> None:
    service, _ = make_service(served_model_name="a b")
    assert model_of(service.models, scope_of(name)) is service.model


def test_a_name_goes_before_a_version(make_service: MakeService) -> None:
    service, _ = make_service(served_model_name="a/versions/1")
    for name in ("a/versions/1", "a/versions/1/versions/1"):
        assert model_of(service.models, scope_of(name)) is service.model
    with pytest.raises(ModelNotFound):
        model_of(service.models, scope_of("a"))


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, identity", "x" * 500])
def test_compressed_bodies_are_refused(app: ASGIApp, tiny_model: Path, coding: str) -> None:
    path = f"/v2/models/{tiny_model}/infer"
    reply = request(app, "POST", path, b"x", {"content-encoding": coding})
    assert reply.status == 415
    assert reply.json == {
        "error": f"`Content-Encoding: {coding[:100]}` is not understood; send none"
    }
    assert request(app, "POST", path, b"x", {"content-encoding": "identity"}).status == 400


def test_whatever_cannot_be_read_is_answered_in_json(make_service: MakeService) -> None:
    _, app = make_service(served_model_name="m", payload_limit=100)
    path = "/v2/models/m/infer"
    for reply, status in (
        (request(app, "POST", path, b"x" * 101), 413),
        (request(app, "POST", path, b"", {"content-length": "101"}), 413),
        (request(app, "POST", path, b"x" * 99), 400),
        (request(app, "POST", path, b"", {"x-request-timeout-ms": "soon"}), 400),
        (request(app, "POST", path, b"[]"), 422),
    ):
        assert (reply.status, reply.headers["content-type"]) == (status, "application/json")
        assert list(reply.json) == ["error"]


INPUT = {"name": "text", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 12}}
BODY = json.dumps({"inputs": [INPUT]}).encode() + packed(["a", "b c"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(
    st.lists(st.tuples(st.integers(0, len(BODY)), st.integers(0, 8), st.binary(max_size=8))),
    st.one_of(st.none(), st.integers(-1, len(BODY) + 9), st.text(st.characters(codec="ascii"))),
)
def test_any_body_and_any_header_are_answered_and_all_is_given_back(
    served: tuple[Service, ASGIApp], changes: list[tuple[int, int, bytes]], declared: Any
) -> None:
    service, app = served
    content = BODY
    for at, left_out, put_in in changes:
        content = content[:at] + put_in + content[at + left_out :]
    headers = {} if declared is None else {LENGTH: str(declared)}
    reply = request(app, "POST", "/v2/models/m/infer", content, headers)
    assert reply.status in {200, 400, 422}
    assert reply.status == 200 or list(reply.json) == ["error"]
    assert service.bodies.free == service.bodies.total
    permits = service.model.engine.admission.permits
    assert permits.free == permits.total
