"""TEI's answers: every golden exchange, as `tools.golden` reads them."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.access.api_keys import from_flags
from app.api.http.service import Service
from app.application import build, create_app
from app.model.names import Task
from app.options.settings import Settings
from tools.golden import EXCHANGES, FILES, Exchange, exchanges, repeated

Made = tuple[Service, ASGIApp]


def _fits(found: Any, wanted: Any) -> bool:
    if wanted == "*":
        return True
    if isinstance(wanted, dict):
        more = "..." in wanted
        names = [name for name in wanted if name != "..."]
        if not isinstance(found, dict) or list(found)[: len(names)] != names:
            return False
        return (more or len(found) == len(names)) and all(
            _fits(found[name], wanted[name]) for name in names
        )
    if isinstance(wanted, list):
        return (
            isinstance(found, list) and len(found) == len(wanted) and all(map(_fits, found, wanted))
        )
    if isinstance(wanted, float):
        return isinstance(found, float) and found == pytest.approx(wanted, abs=1e-6)
    return type(found) is type(wanted) and bool(found == wanted)


def _header_fits(found: str | None, wanted: str | None) -> bool:
    if wanted == "#":
        return found is not None and re.fullmatch(r"\d+", found) is not None
    return found == wanted


class Applications:
    """One application for each kind and settings, created on first use."""

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self._folders = folders
        self._made: dict[str, Made] = {}

    def get(self, kind: Task, settings: Mapping[str, Any]) -> Made:
        key = json.dumps([kind, settings])
        if key not in self._made:
            folder = self._folders[kind]
            keys = from_flags([settings["api_key"]]) if "api_key" in settings else ()
            whole = Settings(model_id=str(folder), **{**settings, "api_key": keys})
            service = build(whole, folder)
            self._made[key] = service, create_app(service, whole)
        return self._made[key]

    def close(self) -> None:
        for service, _ in self._made.values():
            asyncio.run(service.model.close())


@pytest.fixture(scope="module")
def applications(folders: dict[str, Path]) -> Iterator[Applications]:
    made = Applications(folders)
    yield made
    made.close()


@pytest.mark.parametrize("exchange", EXCHANGES, ids=lambda one: f"{one.row} [{one.kind}]")
def test_exchange(applications: Applications, exchange: Exchange) -> None:
    service, app = applications.get(exchange.kind, exchange.settings)
    with service.model.engine.admission.permits.taken(exchange.taken):
        reply = exchange.send(app)
    assert reply.status == exchange.status, reply.text
    if exchange.json is not None:
        assert _fits(reply.json, repeated(exchange.json)), reply.text
    if exchange.text is not None:
        assert reply.text == exchange.text
    if exchange.begins is not None:
        assert reply.text.startswith(exchange.begins), reply.text
    for name, wanted in exchange.answer_headers.items():
        assert _header_fits(reply.headers.get(name), wanted), (name, reply.headers)


def test_every_exchange_says_which_row_it_stands_for() -> None:
    assert len(FILES) == 4
    for path in FILES:
        number = path.name.split("-")[0]
        assert all(one.row.startswith(f"{number}.") for one in exchanges(path))


@pytest.mark.parametrize(
    ("found", "wanted", "fits"),
    [
        ([1.0, 2], [1.0000001, 2], True),
        ([1, 2], [1, 3], False),
        ([1], [True], False),
        ([1, 2], [1], False),
        ({"a": 1, "b": 2}, {"a": 1}, False),
        ({"a": 1, "b": 2}, {"a": 1, "...": "*"}, True),
        ({"b": 2, "a": 1}, {"a": 1, "b": 2}, False),
        ({"a": None}, {"a": "*"}, True),
        ({}, {"a": "*"}, False),
    ],
)
def test_a_pattern_can_fail(found: Any, wanted: Any, fits: bool) -> None:
    assert _fits(found, wanted) == fits
