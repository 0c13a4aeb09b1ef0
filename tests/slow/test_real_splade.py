"""A real SPLADE model, exported, served, and equal to transformers; the weights come in a package."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export import pipeline
from export.cli import Request
from tools.models import real_models
from tools.process import Server
from tools.texts import passages

pytestmark = pytest.mark.slow

QUESTION = "what is the capital of France?"
TEXTS = [QUESTION, *passages(31, longest_words=600)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files, with the descriptions that sentence-transformers would write."""
    real_models.fetch()
    [splade] = [one for one in real_models.REAL_MODELS if one.task == "splade"]
    folder = tmp_path_factory.mktemp("splade") / "splade-tiny"
    folder.mkdir()
    splade.write(folder)
    return folder


@pytest.fixture(scope="module")
def answers(checkpoint: Path) -> Iterator[list[list[dict[str, Any]]]]:
    """Return the served export's answers for TEXTS."""
    folder = pipeline.export(Request(str(checkpoint), models_dir=checkpoint.parent / "models"))
    server = Server("--model-id", str(folder), "--dtype", "float32")
    try:
        server.wait_ready()
        yield server.post("/embed_sparse", {"inputs": TEXTS}).json
    finally:
        server.stop()


def test_it_is_what_transformers_computes(checkpoint: Path, answers: list[Any]) -> None:
    import torch
    import transformers

    library: Any = transformers  # its classes carry no types
    tokenizer = library.AutoTokenizer.from_pretrained(checkpoint)
    model = library.AutoModelForMaskedLM.from_pretrained(checkpoint).eval()
    for text, answer in zip(TEXTS, answers, strict=True):
        inputs = tokenizer(text, truncation=True, max_length=512, return_tensors="pt")
        with torch.inference_mode():
            expected = torch.log1p(torch.relu(model(**inputs).logits[0])).amax(dim=0).numpy()
        vector = np.zeros_like(expected)
        vector[[entry["index"] for entry in answer]] = [entry["value"] for entry in answer]
        np.testing.assert_allclose(vector, expected, atol=1e-4)


def test_its_heaviest_words_are_those_of_the_question(checkpoint: Path, answers: list[Any]) -> None:
    vocabulary = json.loads((checkpoint / "tokenizer.json").read_text())["model"]["vocab"]
    words = {place: word for word, place in vocabulary.items()}
    best = sorted(answers[0], key=lambda entry: -entry["value"])[:4]
    assert [words[entry["index"]] for entry in best] == ["capital", "france", "french", "city"]
