"""A model in this process: the server's vectors, on any thread, and rows without a vector."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from pathlib import Path

import numpy as np
import pytest

from app.bulk.computing import VectorOptions
from app.bulk.embedder import Embedder
from app.bulk.rows import JobError
from app.errors import StartupError
from app.options.settings import Settings
from tools import texts
from tools.process import ROOT, Server, eventually


def settings(model: Path, *more: str) -> Settings:
    return Settings.read(["--model-id", str(model), "--provider", "cpu", *more], {})


@pytest.fixture(scope="module")
def embedder(tiny_model: Path) -> Iterator[Embedder]:
    with Embedder.open(settings(tiny_model), {}) as opened:
        yield opened


def test_vectors_are_the_servers(embedder: Embedder, server: Server) -> None:
    asked = texts.passages(1000, 30)  # more than a chunk
    found = embedder.embed(asked)
    assert (found.shape, str(found.dtype)) == ((1000, embedder.width), "float32")
    answers = [server.post("/embed", {"inputs": asked[at : at + 25]}) for at in range(0, 1000, 25)]
    served = np.concatenate([answer.json for answer in answers])
    assert np.allclose(found, served, atol=1e-5)
    assert embedder.fingerprint == server.get("/info").json["fingerprint"]


def test_texts_without_a_vector_cost_no_other(embedder: Embedder) -> None:
    found = embedder.embed_each(["a", None, "", "b\ud800", "c"])
    assert list(found.faults) == [1, 2, 3]
    assert found.faults[3] == "its `text` is not valid UTF-8"
    assert np.allclose(found.values[[0, 4]], embedder.embed(["a", "c"]), atol=1e-6)
    assert not found.values[1:4].any()
    with pytest.raises(ValueError, match="text 1 has no vector: it has no `text`"):
        embedder.embed(["a", None])  # type: ignore[list-item]  # what a caller may do


def test_nothing_and_nothing_but_faults_have_a_width(embedder: Embedder) -> None:
    assert embedder.embed([]).shape == (0, embedder.width)
    assert embedder.embed_each([None]).values.shape == (1, embedder.width)


def test_many_threads_at_once(embedder: Embedder) -> None:
    """Together they exceed the rows allowed in progress, and each gets its own vectors."""
    asked = [texts.passages(700, 20, seed) for seed in range(12)]
    found: dict[int, bool] = {}

    def ask(place: int) -> None:
        again = embedder.embed(asked[place][::-1])[::-1]
        found[place] = np.allclose(embedder.embed(asked[place]), again, atol=1e-5)

    threads = [threading.Thread(target=ask, args=(place,)) for place in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == dict.fromkeys(range(len(asked)), True)


def test_other_vectors(tiny_model: Path) -> None:
    with Embedder.open(settings(tiny_model), {}, VectorOptions(4, True, "float16")) as opened:
        assert (opened.width, str(opened.embed(["a"]).dtype)) == (4, "float16")


@pytest.mark.parametrize(
    ("model", "options", "reason"),
    [
        ("tiny", VectorOptions(dimensions=17), "the model cannot give these vectors: "),
        ("none", VectorOptions(), "holds no model.onnx"),
    ],
)
def test_models_that_cannot_be_opened(
    tiny_model: Path, tmp_path: Path, model: str, options: VectorOptions, reason: str
) -> None:
    folder = tiny_model if model == "tiny" else tmp_path
    before = set(threading.enumerate())
    with pytest.raises(StartupError, match=reason):
        Embedder.open(settings(folder), {}, options)
    eventually(lambda: not set(threading.enumerate()) - before, 60, "a thread is left")


def test_a_thread_that_waits_is_let_go_when_another_closes(tiny_model: Path) -> None:
    opened = Embedder.open(settings(tiny_model), {})
    begun = threading.Event()
    ended: list[Exception] = []

    def asked() -> Iterator[str]:
        yield from texts.passages(30_000, 60)
        begun.set()

    def ask() -> None:
        try:
            opened.embed(list(asked()))
        except (CancelledError, JobError, RuntimeError) as error:
            ended.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(60)
    opened.close()
    thread.join(60)
    assert len(ended) == 1
    with pytest.raises(RuntimeError, match="closed"):
        opened.embed(["a"])
    opened.close()


def test_the_example_of_the_page(
    tiny_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "bulk.md").read_text()
    [example] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.setenv("PROVIDER", "cpu")
    exec(example.replace("sentence-transformers/all-MiniLM-L6-v2", str(tiny_model)), {})  # noqa: S102
    assert capsys.readouterr().out.startswith("(2, 16) ")
