"""Models in Model2Vec's own layout, compared with the library's own vectors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from app.model.manifest import Manifest
from export import pipeline
from export.checkpoint import routers
from export.cli import Request
from export.errors import ExportError
from export.routes import model2vec
from export.routes.static_models import StaticModel
from tests.support.model2vec import NAMES, TEXTS, vectors, write
from tests.support.routers import served


def read(folder: Path, scratch: Path) -> StaticModel:
    router = routers.read(folder)
    assert router is not None
    return model2vec.read(router.primary, routers.unfold(router.primary, folder, scratch))


def unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_average_is_the_library_s(tmp_path: Path, name: str) -> None:
    model = read(write(tmp_path / name, name), tmp_path / "scratch")
    probes = model2vec.compute(model, TEXTS)
    assert probes.texts == tuple(TEXTS)
    found = unit(probes.vectors) if model.checkpoint.normalize else probes.vectors
    # The library answers in the type of its vectors: float16 has three digits.
    atol = {"halves": 1e-3, "quantized": 1e-4}.get(name, 1e-6)
    np.testing.assert_allclose(found, vectors(name), rtol=0, atol=atol)


@pytest.mark.parametrize(
    "name", [pytest.param(one, marks=() if one in {"plain", "quantized"} else pytest.mark.slow) for one in NAMES]
)  # fmt: skip
def test_a_model_is_proved_and_answers_as_the_library_does(tmp_path: Path, name: str) -> None:
    checkpoint = write(tmp_path / name, name)
    folder = pipeline.export(Request(str(checkpoint), models_dir=tmp_path / "models"))
    manifest = Manifest.read(folder)
    [certificate], [graph] = manifest.certificates, manifest.graphs  # none in another precision
    assert (certificate.reference, graph.dtype, graph.providers) == (
        "model2vec",
        "float32",
        ("cpu",),
    )
    with served(folder) as ask:
        raw = ask("/embed", inputs=TEXTS, normalize=False).json
        plain = ask("/embed", inputs=TEXTS).json
        # Nothing but the unknown token, for models that have one.
        unknown = ask("/embed", inputs="xylophone" if name != "halves" else "")
        each = ask("/embed_all", inputs="the cat")
    expected = vectors(name)
    np.testing.assert_allclose(
        plain, unit(expected), rtol=0, atol=1e-3 if name == "halves" else 1e-5
    )
    if not manifest.normalize:
        np.testing.assert_allclose(raw, expected, rtol=1e-5, atol=1e-5)
    assert unknown.status in {400, 424} or name == "weighed"
    assert each.status == 424


def test_a_text_of_unknown_words_alone_has_no_vector(tmp_path: Path) -> None:
    model = read(write(tmp_path / "plain", "plain"), tmp_path / "scratch")
    assert model2vec.compute(model, ["xylophone", "the"]).texts == ("the",)
    with pytest.raises(ExportError, match="knows no token of any probe text"):
        model2vec.compute(model, ["xylophone", ""])


def changed(folder: Path, **arrays: Any) -> Path:
    """A model in which tensors of these names are changed or missing."""
    found = load_file(folder / "model.safetensors") | arrays
    save_file(
        {name: one for name, one in found.items() if one is not None}, folder / "model.safetensors"
    )
    return folder


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        ({"embeddings": np.zeros((5, 6), np.float32), "mapping": None, "weights": None}, "has vectors of 5 tokens, and tokenizer.json 20 tokens"),
        ({"mapping": np.full(20, 7)}, "do not fit together"),
        ({"mapping": np.full(20, -1)}, "do not fit together"),
        ({"mapping": np.zeros((20, 1), np.int64)}, "do not fit together"),
        ({"weights": np.ones(7, np.float32)}, "do not fit together"),
        ({"embeddings": np.zeros(7, np.float32)}, "do not fit together"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, Any], fault: str) -> None:
    folder = changed(write(tmp_path / "quantized", "quantized"), **arrays)
    with pytest.raises(ExportError, match=fault):
        read(folder, tmp_path / "scratch")


@pytest.mark.parametrize("dtype", ["int8", "int16", "float16"])
def test_other_precisions_are_refused_by_name(tmp_path: Path, dtype: Any) -> None:
    checkpoint = write(tmp_path / "plain", "plain")
    request = Request(str(checkpoint), models_dir=tmp_path / "models", dtypes=(dtype,))
    with pytest.raises(ExportError, match=f"--dtype {dtype} is not possible for a static model"):
        pipeline.export(request)
