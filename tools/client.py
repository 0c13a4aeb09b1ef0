"""One request to a server on this machine, on a connection of its own."""

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

JSON = {"content-type": "application/json"}


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole answer; header names are in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)

    @property
    def text(self) -> str:
        return self.content.decode()


def ask(
    port: int,
    method: str,
    path: str,
    content: bytes = b"",
    headers: Mapping[str, str] | None = None,
    seconds: float = 300,
) -> Reply:
    """Send a request, and return the answer if it comes in time.

    Raises: OSError where nothing listens; http.client.HTTPException where no answer comes.
    """
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)) as connection:
        connection.request(method, path, content or None, dict(headers or {}))
        answer = connection.getresponse()
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, named, answer.read())


def get(port: int, path: str) -> Reply:
    """The answer to a GET."""
    return ask(port, "GET", path)


def post(port: int, path: str, body: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """The answer to a POST of JSON, given as a value or as bytes."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(port, "POST", path, content, {**JSON, **(headers or {})})
