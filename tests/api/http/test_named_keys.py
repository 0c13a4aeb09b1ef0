"""Named keys through the whole application: who is admitted, and where the name appears."""

import logging
from pathlib import Path

import pytest

from tests.api.test_routes import MakeService
from tools.asgi import post, request
from tools.client import JSON

BODY = b'{"inputs":"a"}'


def asking(key: str) -> dict[str, str]:
    return JSON | {"authorization": f"Bearer {key}"}


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("search=s3cret\nbatch=pa=ss\nidle=unused\n")
    return path


def test_each_key_is_admitted_and_counted_by_its_name(
    make_service: MakeService, keys: Path
) -> None:
    _, app = make_service(api_key="plain", api_key_file=keys)
    for key in ("s3cret", "s3cret", "pa=ss", "plain"):
        assert request(app, "POST", "/embed", BODY, asking(key)).status == 200
    assert request(app, "GET", "/info", headers=asking("pa=ss")).status == 200
    for key in ("search=s3cret", "search", "s3cre", "pa", ""):
        assert request(app, "POST", "/embed", BODY, asking(key)).status == 401
    text = request(app, "GET", "/metrics", headers={}).text
    assert [line for line in text.splitlines() if "api_key" in line] == [
        "# TYPE te_api_key_request_count counter",
        'te_api_key_request_count{api_key="search"} 2',
        'te_api_key_request_count{api_key="batch"} 2',
        'te_api_key_request_count{api_key="idle"} 0',
    ]
    assert "s3cret" not in text


def test_the_name_is_in_the_span_of_every_outcome(
    make_service: MakeService, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _, app = make_service(api_key="plain", api_key_file=keys)
    with caplog.at_level(logging.INFO, "app.api.spans"):
        request(app, "POST", "/embed", BODY, asking("s3cret"))
        request(app, "POST", "/embed", b'{"inputs":""}', asking("pa=ss"))
        request(app, "POST", "/vertex", b'{"instances":[{"inputs":"a"}]}', asking("s3cret"))
        request(app, "POST", "/embed", BODY, asking("plain"))
    written = [record for record in caplog.records if record.name == "app.api.spans"]
    spans = [vars(record)["span"] for record in written]
    assert [span.get("api_key") for span in spans] == ["search", "batch", "search", None]
    assert "s3cret" not in str(spans)


def test_a_plain_key_adds_no_series(make_service: MakeService) -> None:
    _, app = make_service(api_key="a=b")
    assert request(app, "POST", "/embed", BODY, asking("a=b")).status == 200
    assert request(app, "POST", "/embed", BODY, asking("b")).status == 401
    assert "api_key" not in request(app, "GET", "/metrics", headers={}).text


def test_without_keys_nothing_is_counted_by_them(make_service: MakeService) -> None:
    _, app = make_service()
    assert post(app, "/embed", {"inputs": "a"}).status == 200
    assert "api_key" not in request(app, "GET", "/metrics").text


def test_the_description_and_pages_are_as_with_a_plain_key(
    make_service: MakeService, keys: Path
) -> None:
    _, app = make_service(api_key_file=keys)
    described = request(app, "GET", "/api-doc/openapi.json", headers={}).json
    assert described["components"]["securitySchemes"] == {
        "key": {"type": "http", "scheme": "bearer"}
    }
    assert request(app, "GET", "/docs/", headers={}).status == 200
    allowed = request(app, "OPTIONS", "/embed", headers={}).headers
    assert allowed["access-control-allow-headers"] == "content-type,authorization"
