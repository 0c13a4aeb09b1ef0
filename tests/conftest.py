"""Fixtures: a tiny exported model, and services and applications over it."""

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import settings
from starlette.types import ASGIApp

from app.access.api_keys import from_flags
from app.api.http.service import Service
from app.application import build, create_app
from app.model.names import Task
from app.options.settings import Settings
from tests.support import operators
from tools import process, processor, tiny
from tools.process import Server

# A busy machine is no fault.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_configure() -> None:
    if (fault := processor.fault()) is not None:
        raise pytest.UsageError(fault)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Report which processor the tests have seen, and what that does not show."""
    for line in (*processor.shown(), *operators.not_shown()):
        terminalreporter.write_line(line)


# Folders whose files take longest.
LONGEST = ("slow", "export", "download", "server", "bulk", "telemetry")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that all worker processes end at about the same time."""

    def place(item: pytest.Item) -> int:
        folder = item.path.relative_to(Path(__file__).parent).parts[0]
        return LONGEST.index(folder) if folder in LONGEST else len(LONGEST)

    items.sort(key=place)


@pytest.fixture(autouse=True)
def no_process_outlives_its_test() -> Iterator[None]:
    """End every process that a test has started, also where the test fails."""
    with process.all_ended():
        yield


@pytest.fixture(autouse=True)
def what_is_logged_is_as_before() -> Iterator[None]:
    """Restore logging, which a program configures when a test runs it in this process."""
    loggers = [logging.getLogger(name) for name in ("", "app", "export")]
    levels = [one.level for one in loggers]
    yield
    for one, level in zip(loggers, levels, strict=True):
        if one.level != level:
            one.setLevel(level)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny exported model; not to be written to."""
    folder = tmp_path_factory.mktemp("models") / "tests--tiny"
    tiny.build(folder)
    return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One exported model of each kind; not to be written to."""
    root = tmp_path_factory.mktemp("kinds")
    for task in get_args(Task):
        tiny.build(root / task, task)
    tiny.build(root / "whole", whole=True)  # dense, sparse and token vectors at once
    return {path.name: path for path in root.iterdir()}


@pytest.fixture
def make_service(tiny_model: Path) -> Iterator[Callable[..., tuple[Service, ASGIApp]]]:
    """A factory of services over the tiny model with given settings, which closes them."""
    closing = ExitStack()

    def make(**changes: Any) -> tuple[Service, ASGIApp]:
        if isinstance(key := changes.get("api_key"), str):
            changes["api_key"] = from_flags([key])
        settings = Settings(**{"model_id": str(tiny_model), **changes})
        service = build(settings, Path(settings.model_id))
        closing.callback(lambda: asyncio.run(service.model.close()))
        if service.desk is not None:
            closing.callback(service.desk.close)
        return service, create_app(service, settings)

    with closing:
        yield make


@pytest.fixture
def app(make_service: Callable[..., tuple[Service, ASGIApp]]) -> ASGIApp:
    """An application over the tiny model, with every setting at its default."""
    return make_service()[1]


@pytest.fixture
def without_nohup() -> Iterator[None]:
    """Restore SIGHUP, which a process under nohup inherits as ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture(scope="module")
def server(tiny_model: Path) -> Iterator[Server]:
    """A server for tests that only send requests to it."""
    with Server("--model-id", str(tiny_model)) as running:
        running.wait_ready()
        yield running
