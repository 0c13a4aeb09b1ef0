"""Routes: files and batches exist only where a folder keeps them."""

import pytest
from starlette.types import ASGIApp

from tools.asgi import request

PATHS = [
    ("GET", "/v1/files"), ("POST", "/v1/files"), ("GET", "/v1/files/x"), ("DELETE", "/v1/files/x"),
    ("GET", "/v1/files/x/content"), ("GET", "/v1/batches"), ("POST", "/v1/batches"),
    ("GET", "/v1/batches/x"), ("POST", "/v1/batches/x/cancel"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_without_a_folder_each_says_how_to_have_it(app: ASGIApp, method: str, path: str) -> None:
    reply = request(app, method, path, b"{}")
    assert (reply.status, reply.headers["content-type"]) == (404, "application/json")
    found = reply.json["error"]
    assert "--batch-dir FOLDER (BATCH_DIR)" in found["message"]
    assert (found["type"], found["param"], found["code"]) == ("invalid_request_error", None, None)


def test_other_methods_are_405(keeping: ASGIApp) -> None:
    for path, allow in (
        ("/v1/files", "GET,HEAD,POST"),
        ("/v1/files/x", "GET,HEAD,DELETE"),
        ("/v1/files/x/content", "GET,HEAD"),
        ("/v1/batches", "GET,HEAD,POST"),
        ("/v1/batches/x/cancel", "POST"),
    ):
        reply = request(keeping, "PUT", path)
        assert (reply.status, reply.headers["allow"]) == (405, allow)


def test_requests_are_counted_by_route(keeping: ASGIApp) -> None:
    for id_ in "ab":
        assert request(keeping, "GET", f"/v1/batches/{id_}").status == 404
    metrics = request(keeping, "GET", "/metrics").text
    assert 'te_http_response_count{path="/v1/batches/{id}",status="404"} 2' in metrics


def test_spare_slashes_do_no_harm(keeping: ASGIApp) -> None:
    assert request(keeping, "GET", "//v1/files/").json["data"] == []
