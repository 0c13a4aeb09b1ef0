"""Swagger UI's pages as served."""

import re
import struct
import zlib
from collections.abc import Callable

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tools.asgi import request
from tools.client import Reply

MakeService = Callable[..., tuple[Service, ASGIApp]]

FILES = {
    "/docs/": "text/html; charset=utf-8",
    "/docs/index.html": "text/html; charset=utf-8",
    "/docs/favicon-16x16.png": "image/png",
    "/docs/favicon-32x32.png": "image/png",
    "/docs/swagger-initializer.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "/docs/swagger-ui.css": "text/css; charset=utf-8",
}


def get(app: ASGIApp, path: str, method: str = "GET") -> Reply:
    return request(app, method, path, headers={})


def test_docs_without_a_slash_leads_to_the_page(app: ASGIApp) -> None:
    reply = get(app, "/docs")
    assert (reply.status, reply.headers["location"], reply.content) == (303, "/docs/", b"")


def test_no_answer_follows_the_host_that_a_client_names(app: ASGIApp) -> None:
    named = {"host": "evil.example", "x-forwarded-host": "evil.example", "forwarded": "host=evil"}
    for path in ("/docs", "/docs/", "/api-doc/openapi.json", "/info", "/nowhere"):
        plain, other = (request(app, "GET", path, headers=one) for one in ({"host": "x"}, named))
        assert (other.status, other.content) == (plain.status, plain.content)
        assert "evil" not in str(other.headers)


@pytest.mark.parametrize(("path", "media_type"), FILES.items())
def test_every_file_is_served_with_its_type_and_its_guards(
    app: ASGIApp, path: str, media_type: str
) -> None:
    reply = get(app, path)
    assert (reply.status, reply.headers["content-type"]) == (200, media_type)
    assert int(reply.headers["content-length"]) == len(reply.content) > 0
    assert reply.headers["access-control-allow-origin"] == "*"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["referrer-policy"] == "no-referrer"
    policy = reply.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} < set(policy)
    assert "unsafe" not in reply.headers["content-security-policy"]
    head = get(app, path, "HEAD").headers
    assert {**head, "x-request-id": ""} == {**reply.headers, "x-request-id": ""}


def test_the_page_names_only_files_that_are_served(app: ASGIApp) -> None:
    page = get(app, "/docs/").text
    named = re.findall(r'(?:href|src)="([^"]*)"', page)
    assert set(named) == {
        "favicon-32x32.png", "swagger-ui.css", "swagger-ui-bundle.js", "swagger-initializer.js",
    }  # fmt: skip
    assert all(get(app, f"/docs/{name}").status == 200 for name in named)
    assert "//" not in page
    assert 'url: "../api-doc/openapi.json"' in get(app, "/docs/swagger-initializer.js").text
    assert "SwaggerUIBundle" in get(app, "/docs/swagger-ui-bundle.js").text


@pytest.mark.parametrize("size", [16, 32])
def test_the_icon_is_an_image_of_the_size_in_its_name(app: ASGIApp, size: int) -> None:
    content = get(app, f"/docs/favicon-{size}x{size}.png").content
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, rest = {}, content[8:]
    while rest:
        length, kind = struct.unpack(">I4s", rest[:8])
        chunks[kind] = rest[8 : 8 + length]
        assert struct.unpack(">I", rest[8 + length : 12 + length]) == (
            zlib.crc32(kind + chunks[kind]),
        )
        rest = rest[12 + length :]
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (size, size)
    assert len(zlib.decompress(chunks[b"IDAT"])) == size * (1 + 4 * size)


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../app/options/settings.py",
        "../../../../etc/passwd",
        "/etc/passwd",
        ".",
        "swagger-ui.css/",
        "SWAGGER-UI.CSS",
        "swagger_style.css",
        "swagger-ui.css\0.js",
        "missing.js",
        "scalar.js",
    ],
)
def test_other_names_are_404(app: ASGIApp, name: str) -> None:
    reply = get(app, f"/docs/{name}")
    assert (reply.status, reply.content) == (404, b"")


def test_the_pages_are_public_and_only_read(make_service: MakeService) -> None:
    _, app = make_service(api_key="k")
    for path in ("/docs", *FILES):
        assert get(app, path).status in {200, 303}
        reply = get(app, path, "POST")
        assert (reply.status, reply.headers["allow"]) == (405, "GET,HEAD")
