"""A small server that speaks the Hub's protocol: some repositories, and its refusals."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# Status, code and message as the Hub answers; it answers any other name with 401.
_REFUSALS = {
    "org/gated": (403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"}),
    "org/forbidden": (403, {"X-Error-Message": "this token has no right to read it"}),
    "org/expired": (401, {"X-Error-Message": "Invalid credentials in Authorization header"}),
    "org/broken": (500, {}),
    "org/portal": (200, {"Content-Type": "text/html"}),  # a network that wants a login first
}
_UNKNOWN = (401, {"X-Error-Code": "RepoNotFound"})


@dataclass(frozen=True, slots=True)
class Request:
    """The facts of a request that tests look at."""

    method: str
    path: str
    token: str | None
    range: str | None


@dataclass
class Hub:
    """The repositories, interruptions of their files, and the requests so far."""

    repositories: Mapping[str, Path]
    cuts: dict[str, list[int]] = field(default_factory=dict)  # bytes of each answer before its end
    held: str | None = None  # a file that stalls after its half, until `release`
    token: str | None = None  # required, if given
    requests: list[Request] = field(default_factory=list)
    url: str = ""
    holding: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def sent(self, name: str) -> list[Request]:
        """Return the requests for the contents of a file."""
        return [one for one in self.requests if one.method == "GET" and one.path.endswith(name)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        token = (self.headers["Authorization"] or "").removeprefix("Bearer ") or None
        self.hub.requests.append(Request(self.command, self.path, token, self.headers["Range"]))
        api = re.fullmatch(r"/api/models/([\w-]+/[\w.-]+)(?:/revision/(\w+))?", self.path)
        file = re.fullmatch(rf"/([\w-]+/[\w.-]+)/resolve/{COMMIT}/(.+)", self.path)
        found = api or file
        name = found[1] if found else ""
        if name not in self.hub.repositories or token != self.hub.token:
            self._send(*_REFUSALS.get(name, _UNKNOWN))
        elif api and api[2] not in {None, "main", "v1", COMMIT}:
            self._send(404, {"X-Error-Code": "RevisionNotFound"})
        elif api:
            self._send_listing(name)
        elif file:
            self._send_file(self.hub.repositories[name] / file[2], file[2])

    def _send_listing(self, name: str) -> None:
        folder = self.hub.repositories[name]
        names = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())
        siblings = [{"rfilename": name} for name in names]
        listing = {"id": name, "sha": COMMIT, "siblings": siblings}
        self._send(200, {"Content-Type": "application/json"}, json.dumps(listing).encode())

    def _send_file(self, path: Path, name: str) -> None:
        body = path.read_bytes()
        headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if asked := re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or ""):
            first = int(asked[1])
            headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
            self._send(206, headers, body[first:], name)
        else:
            self._send(200, headers, body, name)

    def _send(
        self, status: int, headers: Mapping[str, str], body: bytes = b"", name: str = ""
    ) -> None:
        self.send_response(status)
        for header, value in headers.items():
            self.send_header(header, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cuts = self.hub.cuts.get(name)
        if cuts:
            self.wfile.write(body[: cuts.pop(0)])
            self.close_connection = True
        elif name and name == self.hub.held:
            self.wfile.write(body[: len(body) // 2])
            self.hub.holding.set()
            self.hub.release.wait()
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent: the standard one writes to stderr."""


@contextmanager
def serve(repositories: Mapping[str, Path]) -> Iterator[Hub]:
    """Run a Hub on loopback during the block."""
    hub = Hub(repositories)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            hub.release.set()
            server.shutdown()
            thread.join()
