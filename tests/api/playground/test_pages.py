"""The playground's files, as they are served and as they hang together."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.api.playground.pages import STATIC
from tools.asgi import request
from tools.client import Reply

MakeService = Callable[..., tuple[Service, ASGIApp]]
MOST_LINES = 250
TYPES = {
    "css": "text/css; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
FILES = sorted(path for path in STATIC.rglob("*") if path.is_file())
SCRIPTS = [path for path in FILES if path.suffix == ".js"]


def served_at(path: Path) -> str:
    name = path.relative_to(STATIC).as_posix()
    return f"/playground/{'' if name == 'page.html' else name}"


def get(app: ASGIApp, path: str, method: str = "GET", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return request(app, method, path, headers=named)


@pytest.mark.parametrize("path", FILES, ids=served_at)
def test_every_file_is_served_with_its_type_and_its_guards(app: ASGIApp, path: Path) -> None:
    reply = get(app, served_at(path))
    assert (reply.status, reply.content) == (200, path.read_bytes())
    assert reply.headers["content-type"] == TYPES[path.suffix[1:]]
    assert reply.headers["content-length"] == str(len(reply.content))
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert reply.headers["x-frame-options"] == "DENY"
    assert reply.headers["referrer-policy"] == "no-referrer"
    assert reply.headers["content-security-policy"].split("; ") == [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ]  # fmt: skip
    head = get(app, served_at(path), "HEAD").headers
    assert {**head, "x-request-id": ""} == {**reply.headers, "x-request-id": ""}


def test_a_file_that_a_client_has_is_not_sent_again(app: ASGIApp) -> None:
    first = get(app, "/playground/main.js")
    etag = first.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', etag)
    assert first.headers["cache-control"] == "no-cache"
    for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        reply = get(app, "/playground/main.js", if_none_match=known)
        assert (reply.status, reply.content, reply.headers["etag"]) == (304, b"", etag)
        assert "content-length" not in reply.headers
    for other in ('"other"', etag[:-2], get(app, "/playground/").headers["etag"]):
        assert get(app, "/playground/main.js", if_none_match=other).status == 200


def test_without_a_slash_it_leads_to_the_page(app: ASGIApp) -> None:
    reply = get(app, "/playground")
    assert (reply.status, reply.headers["location"], reply.content) == (303, "playground/", b"")


@pytest.mark.parametrize(
    "name",
    ["..", "../pages.py", "../../../../etc/passwd", "/etc/passwd", ".", "page.html", "MAIN.JS", "main.js/", "main.js\0",
     "views", "views/", "views/../main.js", "//main.js"],
)  # fmt: skip
def test_other_names_are_404(app: ASGIApp, name: str) -> None:
    reply = get(app, f"/playground/{name}")
    assert (reply.status, reply.content) == (404, b"")


def test_names_are_counted_as_one_path(make_service: MakeService) -> None:
    service, app = make_service()
    for name in ("main.js", "base.css", "missing"):
        get(app, f"/playground/{name}")
    counted = [line for line in service.metrics.render().splitlines() if "/playground" in line]
    assert [line.split(" ")[0] for line in counted] == [
        'te_http_response_count{path="/playground/{file:path}",status="200"}',
        'te_http_response_count{path="/playground/{file:path}",status="404"}',
    ]


def test_it_is_public_and_only_read(make_service: MakeService) -> None:
    _, app = make_service(api_key="k")
    for path in ("/playground", "/playground/", "/playground/main.js"):
        assert get(app, path).status in {200, 303}
        reply = get(app, path, "POST")
        assert (reply.status, reply.headers["allow"]) == (405, "GET,HEAD")


def test_it_can_be_switched_off(make_service: MakeService) -> None:
    _, app = make_service(playground=False)
    for path in ("/playground", "/playground/", "/playground/main.js"):
        assert (get(app, path).status, get(app, path).content) == (404, b"")
    assert get(app, "/docs/").status == 200


def test_the_page_names_only_files_that_are_there_and_holds_no_script_or_style() -> None:
    page = (STATIC / "page.html").read_text()
    named = set(re.findall(r'<(?:link|script|img)[^>]*(?:href|src)="([^"]*)"', page))
    assert named == {"icon.svg", "base.css", "texts.css", "views.css", "main.js"}
    assert all((STATIC / name).is_file() for name in named)
    assert not re.search(r"<style|style=|<script(?![^>]*src=)|\son\w+=|https?:", page)


def imported(path: Path) -> set[Path]:
    """The modules that one imports."""
    names = re.findall(r'^(?:import|export)[^"]*"(\.[^"]*)";$', path.read_text(), re.MULTILINE)
    return {(path.parent / name).resolve() for name in names}


def test_every_module_is_reached_from_the_first() -> None:
    reached: set[Path] = set()
    waiting = {STATIC.resolve() / "main.js"}
    while waiting:
        path = waiting.pop()
        reached.add(path)
        waiting |= imported(path) - reached
    assert reached == {path.resolve() for path in SCRIPTS}


# Modules that Node can load: nothing in them knows of a page.
PURE = ("math", "text")


@pytest.mark.parametrize("path", SCRIPTS, ids=served_at)
def test_scripts_are_short_and_know_no_other_host(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= MOST_LINES
    assert "://" not in source
    assert not re.search(
        r"\.innerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", source
    )
    if path.parent.name in PURE:
        assert not re.search(
            r"\b(document|window|fetch|localStorage)\b", re.sub(r'//.*|"[^"]*"', "", source)
        )
        assert {one.parent.name for one in imported(path)} <= set(PURE)


@pytest.mark.parametrize("path", [path for path in FILES if path.suffix == ".css"], ids=served_at)
def test_style_sheets_are_short_and_load_nothing(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MOST_LINES
    assert not re.search(r"url\(|@import|://", path.read_text())


def words(language: str) -> dict[str, str]:
    source = (STATIC / f"words/{language}.js").read_text()
    return dict(re.findall(r'^  (\w+): "(.*)",$', source, re.MULTILINE))


def test_both_languages_say_the_same_things() -> None:
    english, chinese = words("en"), words("zh")
    assert list(english) == list(chinese)
    for key, text in english.items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", chinese[key])), key


def test_every_word_is_used_and_there() -> None:
    source = "".join(
        path.read_text() for path in SCRIPTS if path.parent.name != "words" or path.stem == "words"
    )
    page = (STATIC / "page.html").read_text()
    named = set(re.findall(r'data-(?:say|label|hint)="(\w+)"', page)) | set(
        re.findall(r'say\("(\w+)"', source)
    )
    assert named <= set(words("en"))
    quoted = set(re.findall(r'["`](\w+)["`]', source)) | named
    views = {"map", "heat", "tokens", "weights", "maxsim", "types"}
    by_part = re.compile(r"(asked|example)_\w+")
    assert [
        key for key in words("en") if key not in quoted | views and not by_part.fullmatch(key)
    ] == []
