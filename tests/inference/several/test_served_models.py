"""Several models in one process: opened together or not at all, within one set of limits."""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import BackendFailed, Overloaded, StartupError
from app.inference.admission import InputOptions
from app.inference.several.served_models import ServedModels
from app.model.batch import TokenizedInput
from app.options.settings import Settings
from app.telemetry import logs
from app.telemetry.metrics import Metrics
from tests.support.steering import loop_in_thread, submit_inputs
from tools import tiny
from tools.process import eventually

Open = Callable[..., ServedModels]


@pytest.fixture
def folders(tiny_model: Path, tmp_path: Path) -> list[Path]:
    tiny.build(tmp_path / "reranker", "reranker")
    return [tiny_model, tmp_path / "reranker"]


@pytest.fixture
def open_both(folders: list[Path]) -> Iterator[Open]:
    """A function that opens an embedder and a reranker."""
    opened: list[ServedModels] = []

    def open_them(names: tuple[str, str] = ("vectors", "scores"), **options: Any) -> ServedModels:
        prepared = [
            (Settings(model_id=str(folder), served_model_name=name, **options), folder)
            for folder, name in zip(folders, names, strict=True)
        ]
        opened.append(ServedModels.open(prepared, Metrics()))
        return opened[-1]

    yield open_them
    for models in opened:
        asyncio.run(models.close())


def threads(name: str) -> int:
    return sum(one.name.startswith(name) for one in threading.enumerate())


def test_each_is_found_by_its_names(open_both: Open, folders: list[Path]) -> None:
    models = open_both()
    assert models.names == ["vectors", "scores"]
    assert models.named("scores") is models.named(str(folders[1])) is models.each[1]
    assert models.named("vectors") is models.first
    assert models.named("nope") is None


def test_permits_and_the_threads_that_tokenize_are_those_of_one(open_both: Open) -> None:
    before = threads("tokenize_")
    models = open_both(max_concurrent_requests=5, tokenization_workers=2)
    assert threads("tokenize_") - before == 3
    first, second = (one.engine.admission.permits for one in models.each)

    async def ask(pairs: int) -> None:
        with first.taken(4):  # one is kept for the second
            assert (first.free, second.free) == (0, 1)
            with second.taken(pairs - 1):
                await models.each[1].engine.predict([("a", "b")], InputOptions(), "none")

    asyncio.run(ask(1))
    with pytest.raises(Overloaded):
        asyncio.run(ask(2))


def test_all_compute_until_they_are_closed(open_both: Open) -> None:
    models = open_both()

    async def used() -> None:
        vectors, scores = await asyncio.gather(
            models.each[0].engine.embed(["the cat"], InputOptions()),
            models.each[1].engine.predict([("a", "b")], InputOptions(), "none"),
        )
        assert (len(vectors.value), len(scores.value.printed)) == (1, 1)
        await models.close()
        with pytest.raises(BackendFailed, match="the service is shutting down"):
            await models.each[0].engine.embed(["the cat"], InputOptions())
        with pytest.raises(BackendFailed, match="the service is shutting down"):
            await models.each[1].engine.predict([("a", "b")], InputOptions(), "none")

    asyncio.run(used())


def test_two_of_one_name_are_refused(open_both: Open) -> None:
    with pytest.raises(StartupError, match=r"^same is meant by more than one --model-id"):
        open_both(("same", "same"))


def test_one_that_cannot_be_opened_is_named_and_leaves_no_thread(open_both: Open) -> None:
    before = threads("tokenize_"), threads("batch")
    with pytest.raises(StartupError, match=r"^scores: --default-prompt .* is a reranker"):
        open_both(default_prompt="query: ")
    eventually(lambda: (threads("tokenize_"), threads("batch")) == before, 60)


class Lines(logging.Handler):
    """Each line of the log, with its message."""

    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((record.getMessage(), self.format(record)))

    def beginning(self, words: str) -> list[str]:
        return [line for message, line in self.lines if message.startswith(words)]


@pytest.mark.parametrize("formatter", [logs.TextFormatter(), logs.JsonFormatter()])
def test_lines_name_the_model_of_which_they_are(
    open_both: Open, caplog: pytest.LogCaptureFixture, formatter: logging.Formatter
) -> None:
    """Lines of a model's start and of its worker's thread, but not those of the service."""
    caplog.set_level("INFO")
    log = Lines(formatter)
    logging.getLogger("app").addHandler(log)
    try:
        models = open_both()
        two = [TokenizedInput(np.full(3, 1))] * 2
        with loop_in_thread() as loop:
            asked = submit_inputs(models.each[1].worker, loop, two, "no such output")
            with pytest.raises(BackendFailed):
                asked.wait()
        logging.getLogger("app.elsewhere").info("of the service")
    finally:
        logging.getLogger("app").removeHandler(log)
    for name, others in (("vectors", "scores"), ("scores", "vectors")):
        assert len([one for one in log.beginning("Warming up model") if name in one]) == 1
        assert not any(name in one and others in one for one in log.beginning("Warming up model"))
    assert "scores" in log.beginning("a run of 2 inputs failed")[0]
    assert not any(name in log.beginning("of the service")[0] for name in models.names)


def test_the_watch_names_the_model_that_is_lost(open_both: Open) -> None:
    models = open_both()
    models.each[1].worker.failure = "the batching worker ended: lost"
    assert asyncio.run(models.watch()) == "scores: the batching worker ended: lost"
