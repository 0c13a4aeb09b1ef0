"""Transport: reading and answering a request by plain ASGI messages, without objects in between."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator

from starlette.types import Receive, Scope, Send

from app.api.http.client_gone import unless_gone
from app.errors import BadTimeout, ClientGone, DeadlineExceeded

RawHeaders = list[tuple[bytes, bytes]]

# Ours, and the one in which Envoy sends its route's timeout.
TIMEOUT_HEADERS = (b"x-request-timeout-ms", b"x-envoy-expected-rq-timeout-ms")
JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
# Up to this size, rendering takes a moment, which is not worth a turn for other tasks.
MOMENT_BYTES = 16 * 1024
# Up to this size an answer is sent whole, with its length.
WHOLE_BYTES = 512 * 1024


def page_security(images: bytes = b"'self'") -> RawHeaders:
    """Return the headers of a page that uses files of this host alone, and images from `images`."""
    policy = (
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src %b; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return [
        (b"content-security-policy", policy % images),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
    ]


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header of that (lower-case) name, or None."""
    found: bytes | None = scope["first_headers"].get(name)
    return found


def seconds_allowed(scope: Scope) -> float | None:
    """Return the time that the request's headers allow for an answer; None if they set none.

    Raises: BadTimeout.
    """
    for name in TIMEOUT_HEADERS:
        value = header(scope, name)
        if value is not None:
            if not (value.isdigit() and len(value) < 10):
                raise BadTimeout(name.decode())
            return int(value) / 1000
    return None


@contextlib.asynccontextmanager
async def deadline(seconds: float) -> AsyncIterator[None]:
    """Raise DeadlineExceeded in the block after this time."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DeadlineExceeded from None


async def respond(
    send: Send, status: int, content: bytes, media_type: bytes | None, headers: RawHeaders
) -> None:
    """Send a whole answer; `headers` are added to the two that describe the content."""
    start: RawHeaders = [(b"content-length", b"%d" % len(content)), *headers]
    if media_type is not None:
        start.insert(0, (b"content-type", media_type))
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})


def of_a_moment(parts: Iterator[bytes]) -> bytes:
    """Return the first parts of an answer: all of them, or more than MOMENT_BYTES."""
    first, size = [], 0
    for part in parts:
        first.append(part)
        size += len(part)
        if size > MOMENT_BYTES:
            break
    return b"".join(first)


async def in_turn(parts: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the same parts, with a turn for other tasks after every MOMENT_BYTES."""
    since = 0
    for part in parts:
        if since > MOMENT_BYTES:
            await asyncio.sleep(0)
            since = 0
        yield part
        since += len(part)


async def beginning(parts: AsyncIterator[bytes]) -> bytes:
    """Return the first parts of an answer: all of them, or more than WHOLE_BYTES."""
    first, size = [], 0
    async for part in parts:
        first.append(part)
        size += len(part)
        if size > WHOLE_BYTES:
            break
    return b"".join(first)


def is_whole(first: bytes) -> bool:
    """Check whether the beginning of an answer is all of it."""
    return len(first) <= WHOLE_BYTES


async def respond_in_parts(
    receive: Receive,
    send: Send,
    first: bytes,
    rest: AsyncIterator[bytes],
    media_type: bytes,
    headers: RawHeaders,
) -> None:
    """Send an answer of which `first` is the beginning, and the rest as it comes.

    If the client leaves, `rest` is not read any further.
    """
    if is_whole(first):
        await respond(send, 200, first, media_type, headers)
        return
    start = [(b"content-type", media_type), *headers]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    with contextlib.suppress(ClientGone):
        await unless_gone(receive, _send_parts(send, first, rest))
        # Unwatched: when an answer has ended, receive() reports a disconnect.
        await send({"type": "http.response.body", "body": b""})


async def _send_parts(send: Send, first: bytes, rest: AsyncIterator[bytes]) -> None:
    await send({"type": "http.response.body", "body": first, "more_body": True})
    async for part in rest:
        await send({"type": "http.response.body", "body": part, "more_body": True})
