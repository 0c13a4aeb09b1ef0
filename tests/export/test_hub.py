"""Hub: a small server that speaks its protocol, and every way in which it can say no."""

import hashlib
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from app.inference.manifest import Manifest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Start = Callable[..., subprocess.Popen[str]]


class _Hub(BaseHTTPRequestHandler):
    """Serves `org/tiny-bert` from a folder; other names stand for a refusal."""

    protocol_version = "HTTP/1.1"
    folder: Path

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if "org/gated" in self.path:
            self._send(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "gated"})
        elif "org/broken" in self.path:
            self._send(500, {})
        elif "org/tiny-bert" not in self.path:
            self._send(401, {"X-Error-Code": "RepoNotFound"})
        elif "/revision/" in self.path and not self.path.endswith(("/main", COMMIT)):
            self._send(404, {"X-Error-Code": "RevisionNotFound"})
        elif self.path.startswith("/api/models/"):
            names = [p.relative_to(self.folder) for p in self.folder.rglob("*") if p.is_file()]
            siblings = [{"rfilename": str(name)} for name in names]
            listing = {"id": "org/tiny-bert", "sha": COMMIT, "siblings": siblings}
            self._send(200, {"Content-Type": "application/json"}, json.dumps(listing).encode())
        else:
            name = self.path.split(f"/resolve/{COMMIT}/")[1]
            body = (self.folder / name).read_bytes()
            digest = hashlib.sha256(body).hexdigest()
            self._send(200, {"ETag": f'"{digest}"', "X-Repo-Commit": COMMIT}, body)

    def _send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent: the standard one writes to stderr."""


@pytest.fixture
def hub(bert: Path) -> Iterator[str]:
    handler = type("Hub", (_Hub,), {"folder": bert})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_model_of_the_hub_is_exported_with_its_commit(
    hub: str, start_export: Start, tmp_path: Path
) -> None:
    online = {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "home")}
    models = ("--models-dir", tmp_path / "models")
    child = start_export("org/tiny-bert", *models, **online)
    output, errors = child.communicate(timeout=60)
    assert child.returncode == 0, output + errors
    source = Manifest.read(tmp_path / "models/org--tiny-bert").source
    assert (source.id, source.revision) == ("org/tiny-bert", COMMIT)

    # What is in the cache now is enough for an export that may not use the network.
    child = start_export("org/tiny-bert", "--revision", "main", *models, HF_HOME=online["HF_HOME"])
    output, errors = child.communicate(timeout=60)
    assert child.returncode == 0, output + errors
    assert Manifest.read(tmp_path / "models/org--tiny-bert@main").source.revision == COMMIT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["org/gated"], "org/gated is gated: accept its conditions on its page, then set HF_TOKEN"),
        (["org/unknown"], "is neither a folder nor a model on the Hub; if it is private"),
        (["org/tiny-bert", "--revision", "v9"], "org/tiny-bert has no revision 'v9'"),
        (["org/broken"], "org/broken cannot be fetched: 500 Server Error"),
        (["not an id!"], "'not an id!' is neither a folder nor an id of the form"),
    ],
)
def test_refusals(
    hub: str, start_export: Start, tmp_path: Path, arguments: list[str], message: str
) -> None:
    home = str(tmp_path / "home")
    child = start_export(
        *arguments,
        "--models-dir",
        tmp_path / "models",
        HF_HUB_OFFLINE="0",
        HF_ENDPOINT=hub,
        HF_HOME=home,
    )
    _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors.count("\n")) == (1, 1), errors
    assert message in errors
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set: unset it, or give a folder"),
        (
            {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": "http://127.0.0.1:9"},
            "http://127.0.0.1:9 cannot be reached: check the network or HF_ENDPOINT",
        ),
    ],
)
def test_out_of_reach(
    start_export: Start, tmp_path: Path, environment: dict[str, str], message: str
) -> None:
    child = start_export("org/name", HF_HOME=str(tmp_path), **environment)
    _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors.count("\n")) == (1, 1), errors
    assert message in errors
