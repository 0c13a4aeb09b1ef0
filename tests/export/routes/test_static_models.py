"""Static models: a vector for each token of the vocabulary, and no layers."""

import numpy as np

from app.model.manifest import Manifest
from tests.support.routers import TEXTS, Models, library_s, served


def test_a_static_model_is_served_without_special_tokens(models: Models) -> None:
    checkpoint, folder = models("static")
    expected = library_s(checkpoint, "encode")
    with served(folder) as ask:
        answer = ask("/embed", inputs=TEXTS)
    np.testing.assert_allclose(answer.json, expected, rtol=0, atol=1e-5)
    assert Manifest.read(folder).normalize
