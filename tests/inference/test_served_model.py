"""A served model computes without HTTP until it is closed."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.errors import BackendFailed, StartupError
from app.inference.admission import InputOptions
from app.inference.served_model import ServedModel
from app.model.manifest import Manifest
from app.options.settings import Settings
from app.telemetry.metrics import Metrics
from tools import tiny
from tools.process import eventually


def test_it_computes_until_it_is_closed(tiny_model: Path) -> None:
    metrics = Metrics()
    model = ServedModel.open(tiny_model, Settings(model_id="tests/tiny"), metrics)

    async def used() -> None:
        computed = await model.engine.embed(["the cat"], InputOptions(), normalize=False)
        np.testing.assert_allclose(
            computed.value, [tiny.reference(tiny.ids_of("the cat"))], atol=1e-6
        )
        await model.close()
        with pytest.raises(BackendFailed, match="the service is shutting down"):
            await model.engine.embed(["the cat"], InputOptions())

    asyncio.run(used())
    assert (model.name, model.other_names) == ("tests/tiny", ("tests/tiny", "tests/tiny"))
    assert "te_batch_next_size_count 1" in metrics.render()


def test_two_models_are_open_side_by_side(tiny_model: Path, tmp_path: Path) -> None:
    tiny.build(tmp_path, "classifier")
    metrics = Metrics()
    embedder = ServedModel.open(tiny_model, Settings(model_id="embedder"), metrics)
    classifier = ServedModel.open(tmp_path, Settings(model_id="classifier"), metrics)

    async def used() -> None:
        vectors, scores = await asyncio.gather(
            embedder.engine.embed(["the cat"], InputOptions()),
            classifier.engine.predict(["the cat"], InputOptions(), "softmax"),
        )
        assert vectors.value.shape == (1, embedder.manifest.dimensions)
        assert scores.value.printed.shape == (1, len(classifier.manifest.labels))
        await embedder.close()
        again = await classifier.engine.predict(["the cat"], InputOptions(), "softmax")
        np.testing.assert_array_equal(again.value.printed, scores.value.printed)
        await classifier.close()

    asyncio.run(used())


def tokenizing() -> int:
    """Return the threads of this process that tokenize."""
    return sum(one.name.startswith("tokenize_") for one in threading.enumerate())


def without_a_graph(folder: Path) -> dict[str, str]:
    (folder / "model.onnx").write_bytes(b"")
    tiny.seal(folder, Manifest.read(folder))
    return {}


def without_room(folder: Path) -> dict[str, str]:
    del folder
    return {"default_prompt": "cat " * tiny.MAX_LENGTH}


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (without_a_graph, r"model\.onnx cannot be loaded"),
        (without_room, "--default-prompt: the prompt has"),
    ],
)
def test_a_model_that_fails_to_open_leaves_no_thread(
    tmp_path: Path, spoil: Callable[[Path], dict[str, Any]], fault: str
) -> None:
    tiny.build(tmp_path)
    options = spoil(tmp_path)
    before = tokenizing()
    with pytest.raises(StartupError, match=fault):
        ServedModel.open(tmp_path, Settings(model_id="m", **options), Metrics())
    eventually(lambda: tokenizing() == before, 60)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"manifest\.json"):
        ServedModel.open(tmp_path, Settings(model_id="m"), Metrics())
