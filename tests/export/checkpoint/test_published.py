"""Well-known models whose files do not say what they are."""

import pytest

from export.checkpoint import read
from export.errors import ExportError
from tests.support.configs import Write


@pytest.mark.parametrize(
    ("model_id", "pooling", "original"),
    [
        ("Xenova/all-MiniLM-L6-v2", "mean", "sentence-transformers/all-MiniLM-L6-v2"),
        ("Xenova/bge-small-en-v1.5", "cls", "BAAI/bge-small-en-v1.5"),
        ("Qdrant/bge-small-en-v1.5-onnx-Q", "cls", "BAAI/bge-small-en-v1.5"),
        ("qdrant/all-MiniLM-L6-v2-onnx", "mean", "sentence-transformers/all-MiniLM-L6-v2"),
        (
            "onnx-community/Qwen3-Embedding-0.6B-ONNX",
            "last_token",
            "Qwen/Qwen3-Embedding-0.6B",
        ),
        ("BAAI/bge-m3", "cls", "BAAI/bge-m3"),
    ],
)
def test_the_publication_under_a_well_known_name_decides(
    write: Write, model_id: str, pooling: str, original: str
) -> None:
    found = read.read(write(pooling={}), None, model_id)
    assert (found.pooling, found.choice) == (pooling, pooling)
    assert found.pooling_source == f"published with {original}"
    assert found.notes == (f"pooling: {pooling} (by published with {original})",)


@pytest.mark.parametrize(
    "model_id",
    ["", "bge-m3", "someone/bge-m3", "Xenova/bge-unheard-of", "sentence-transformers/bge-m3"],
)
def test_another_name_decides_nothing(write: Write, model_id: str) -> None:
    with pytest.raises(ExportError, match=r"--pooling cls .*--pooling mean"):
        read.read(write(pooling={}), None, model_id)


def test_a_published_splade_model_is_one(write: Write) -> None:
    folder = write({"architectures": ["BertForMaskedLM"]}, pooling={})
    assert read.read(folder, None, "Qdrant/Splade_PP_en_v1").task == "splade"


def test_files_and_options_precede_publications(write: Write) -> None:
    found = read.read(write(), None, "BAAI/bge-m3")
    assert (found.pooling, found.pooling_source) == ("mean", "1_Pooling/config.json")
    found = read.read(write(), "last_token", "BAAI/bge-m3")
    assert (found.pooling, found.pooling_source) == ("last_token", "--pooling")
