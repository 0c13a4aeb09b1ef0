"""Swagger UI at `/docs/`: its files come from an installed package, never from another host.

Each path below is a route of its own, so no name from a client ever reaches the file system.
"""

import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.docs.icon import png
from app.api.http.transport import page_security, respond

_PACKAGE = "offapi"
_HTML = b"text/html; charset=utf-8"
_SCRIPT = b"text/javascript; charset=utf-8"
_STYLE = b"text/css; charset=utf-8"
_IMAGE = b"image/png"

_INDEX = b"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Embedding service</title>
<link rel="icon" href="favicon-32x32.png">
<link rel="stylesheet" href="swagger-ui.css">
<script src="swagger-ui-bundle.js" defer></script>
<script src="swagger-initializer.js" defer></script>
</head>
<body>
<div id="swagger-ui"></div>
</body>
</html>
"""
# The URL is relative, so that a proxy may put the service below a path. No validator: it is on
# another host.
_INITIALIZER = b"""SwaggerUIBundle({
  url: "../api-doc/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
});
"""
# Swagger UI's style sheet holds its icons as data; React sets styles through the object model.
_SECURITY = page_security(images=b"'self' data:")
_HOUR = (b"cache-control", b"public, max-age=3600")


class File:
    """One file, read when it is first asked for."""

    def __init__(self, read: Callable[[], bytes], media_type: bytes, *headers: tuple[bytes, bytes]):
        self._read = cache(read)
        self._media_type = media_type
        self._headers = [*headers, *_SECURITY]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await respond(send, 200, self._read(), self._media_type, self._headers)


class ToIndex:
    """Redirects to the page with 303."""

    def __init__(self, base: str) -> None:
        self._location = f"{base}/docs/".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await respond(send, 303, b"", None, [(b"location", self._location), *_SECURITY])


def pages(base: str = "") -> Mapping[str, ASGIApp]:
    """Return the handler of GET for each path of Swagger UI, which are below `base`."""
    index = File(lambda: _INDEX, _HTML)
    return {
        "/docs": ToIndex(base),
        "/docs/": index,
        "/docs/index.html": index,
        # Swagger UI's own names for its icons, which TEI uses too.
        "/docs/favicon-16x16.png": File(lambda: png(1), _IMAGE, _HOUR),
        "/docs/favicon-32x32.png": File(lambda: png(2), _IMAGE, _HOUR),
        "/docs/swagger-initializer.js": File(lambda: _INITIALIZER, _SCRIPT),
        "/docs/swagger-ui-bundle.js": File(lambda: _packaged("swagger_bundle.js"), _SCRIPT, _HOUR),
        "/docs/swagger-ui.css": File(lambda: _packaged("swagger_style.css"), _STYLE, _HOUR),
    }


def _packaged(name: str) -> bytes:
    """Read a file of the package without importing it, which would load all that it holds."""
    spec = importlib.util.find_spec(_PACKAGE)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return (Path(spec.submodule_search_locations[0]) / name).read_bytes()
