"""Static models: a vector for each token of the vocabulary, and no layers."""

import numpy as np
import pytest

from app.application import build
from app.errors import StartupError
from app.model.manifest import Manifest
from app.options.settings import Settings
from tests.support.routers import TEXTS, Models, library_s, served


def test_a_static_model_is_served_without_special_tokens(models: Models) -> None:
    checkpoint, folder = models("static")
    expected = library_s(checkpoint, "encode")
    with served(folder) as ask:
        answer = ask("/embed", inputs=TEXTS)
    np.testing.assert_allclose(answer.json, expected, rtol=0, atol=1e-5)
    assert Manifest.read(folder).normalize


def test_a_precision_that_no_export_makes_is_refused(models: Models) -> None:
    _, folder = models("static")
    settings = Settings(model_id=str(folder), provider="cpu", dtype="int8")
    with pytest.raises(StartupError, match=r"--dtype int8: a static model, .* alone, in float32"):
        build(settings, folder)
