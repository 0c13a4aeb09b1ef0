"""The playground's files at `/playground/`, each from the package, for pages of this host alone.

Clients ask again with an ETag each time they need a file (RFC 9110, 8.8.3), so that the modules of
two versions never meet. Files are found by a name in a mapping: no path from a client ever reaches
the file system.
"""

import hashlib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.http.transport import header, page_security, respond

STATIC = Path(__file__).parent / "static"
_INDEX = "page.html"
_MEDIA_TYPES = {
    ".css": b"text/css; charset=utf-8",
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_SECURITY = page_security()


class _File(NamedTuple):
    content: bytes
    media_type: bytes
    etag: bytes


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer GET of one file: 200, 304 if the client has it, or 404."""
    del receive
    file = _files().get(scope["path_params"]["file"])
    if file is None:
        await respond(send, 404, b"", None, [])
        return
    headers = [(b"etag", file.etag), (b"cache-control", b"no-cache"), *_SECURITY]
    if _has(header(scope, b"if-none-match"), file.etag):
        # Without a length: of a 304 it would be that of the file (RFC 9110, 8.6).
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return
    await respond(send, 200, file.content, file.media_type, headers)


async def to_index(scope: Scope, receive: Receive, send: Send) -> None:
    """Redirect to the page with 303."""
    del scope, receive
    await respond(send, 303, b"", None, [(b"location", b"playground/"), *_SECURITY])


def pages() -> Mapping[str, ASGIApp]:
    """Return the handlers of GET by path."""
    return {"/playground": to_index, "/playground/{file:path}": page}


def _has(asked: bytes | None, etag: bytes) -> bool:
    """Check whether one of the tags that a client has is this one; weak ones count too."""
    tags = (tag.strip().removeprefix(b"W/") for tag in (asked or b"").split(b","))
    return any(tag in {etag, b"*"} for tag in tags)


@cache
def _files() -> Mapping[str, _File]:
    """Read every file, by its name below `/playground/`; the page itself has none."""
    found = {}
    for path in sorted(STATIC.rglob("*")):
        if (media_type := _MEDIA_TYPES.get(path.suffix)) is not None:
            content = path.read_bytes()
            etag = b'"%b"' % hashlib.sha256(content).hexdigest()[:32].encode()
            name = path.relative_to(STATIC).as_posix()
            found["" if name == _INDEX else name] = _File(content, media_type, etag)
    return MappingProxyType(found)
