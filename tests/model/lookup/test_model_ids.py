"""Model names as people write them, and the model that is meant."""

from pathlib import Path

import pytest

from app.model.lookup.model_ids import Meant, Places, UnknownName, near, understand
from tools import tiny

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A user's folders: nothing exported, and two caches, one of them with models."""
    for name in ("models--Org--cached", "models--one--twice", "models--two--twice"):
        (tmp_path / "cache" / name / "snapshots").mkdir(parents=True)
    return Places(tmp_path / "models", (tmp_path / "none", tmp_path / "cache"))


def export(places: Places, folder: str) -> None:
    tiny.build(places.models_dir / folder)


@pytest.mark.parametrize(
    ("text", "model", "revision"),
    [
        ("BAAI/bge-m3", "BAAI/bge-m3", None),
        (" BAAI/bge-m3\n", "BAAI/bge-m3", None),
        ("BAAI/bge-m3/", "BAAI/bge-m3", None),
        ("all-MiniLM-L6-v2", MINILM, None),
        ("ALL-minilm-l6-v2", MINILM, None),
        ("bge-m3", "BAAI/bge-m3", None),
        (
            "bert-base-uncased",
            "bert-base-uncased",
            None,
        ),  # on the Hub without an organization
        ("all-minilm:latest", MINILM, None),
        ("nomic-embed-text:latest", "nomic-ai/nomic-embed-text-v1.5", None),
        ("org/name:latest", "org/name", None),
        ("cached", "Org/cached", None),
        ("models--BAAI--bge-m3", "BAAI/bge-m3", None),
        ("https://huggingface.co/BAAI/bge-m3", "BAAI/bge-m3", None),
        ("http://hf.co/BAAI/bge-m3/?library=transformers#usage", "BAAI/bge-m3", None),
        ("huggingface.co/BAAI/bge-m3", "BAAI/bge-m3", None),
        ("hf://BAAI/bge-m3", "BAAI/bge-m3", None),
        ("https://huggingface.co/BAAI/bge-m3/tree/main", "BAAI/bge-m3", "main"),
        ("https://huggingface.co/BAAI/bge-m3/tree/refs%2Fpr%2F5", "BAAI/bge-m3", "refs/pr/5"),
        (
            "https://huggingface.co/BAAI/bge-m3/blob/5617a9f/onnx/model.onnx",
            "BAAI/bge-m3",
            "5617a9f",
        ),
        ("https://huggingface.co/gpt2/tree/main", "gpt2", "main"),
    ],
)
def test_understood_names(places: Places, text: str, model: str, revision: str | None) -> None:
    assert understand(text, None, places) == Meant(model, revision)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("./nope", "./nope is not a folder: give one that holds a model"),
        ("/no/such/model", "/no/such/model is not a folder: give one that holds a model"),
        ("a/b/c", "a/b/c is not a folder: give one that holds a model"),
        ("~/no-such-model", "~/no-such-model is not a folder: give one that holds a model"),
        ("twice", "twice may be one/twice or two/twice: give the one that is meant"),
        ("bge-m3:567m", "567m is a tag of Ollama's, whose models are not served here: give an id"),
        ("bge-m3:567m", "BAAI/bge-m3 is what the name is for"),
        ("https://example.org/BAAI/bge-m3", "is no page of a model on the Hugging Face Hub"),
        ("https://huggingface.co/datasets/a/b", "is no page of a model on the Hugging Face Hub"),
        ("https://huggingface.co", "is no page of a model on the Hugging Face Hub"),
        ("x" * 5000, "File name too long"),
    ],
)
def test_refused_names_get_a_hint(places: Places, text: str, fault: str) -> None:
    with pytest.raises(UnknownName) as caught:
        understand(text, None, places)
    assert fault in str(caught.value)


def test_a_folder_is_taken_as_it_is(places: Places, tmp_path: Path) -> None:
    folder = tmp_path / "bge-m3:latest"
    folder.mkdir()
    assert understand(f"{folder}", "v2", places) == Meant(f"{folder}", "v2")
    assert understand(f"{folder}/", None, places) == Meant(f"{folder}", None)


def test_a_home_is_expanded(
    places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert understand("~/mine/", None, places) == Meant(f"{tmp_path}/mine", None)


def test_a_file_is_no_model(places: Places, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").touch()
    with pytest.raises(UnknownName, match="is a file: give the folder that holds the model"):
        understand(f"{tmp_path}/model.onnx", None, places)


def test_a_folder_beside_it_is_suggested(places: Places, tmp_path: Path) -> None:
    (tmp_path / "minilm-l6").mkdir()
    with pytest.raises(UnknownName) as caught:
        understand(f"{tmp_path}/minilm-l8", None, places)
    assert f"(did you mean {tmp_path}/minilm-l6?)" in str(caught.value)


def test_an_address_and_a_revision_must_agree(places: Places) -> None:
    page = "https://huggingface.co/a/b/tree/v1"
    assert understand(page, "v1", places) == Meant("a/b", "v1")
    with pytest.raises(UnknownName, match=r"names revision v1, --revision .* says v2"):
        understand(page, "v2", places)


def test_local_models_precede_published_ones(places: Places) -> None:
    export(places, "mine--bge-m3")
    assert understand("bge-m3", None, places) == Meant("mine/bge-m3", None)
    export(places, "bge-m3")  # from a folder of that name
    assert understand("bge-m3", None, places) == Meant("bge-m3", None)


def test_one_organization_counts_once(places: Places) -> None:
    export(places, "Org--cached")
    export(places, "Org--cached@v2")
    assert understand("cached", None, places) == Meant("Org/cached", None)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("org/Cached", "; did you mean Org/cached?"),
        ("Org/cache", "; did you mean Org/cached?"),
        ("bge-m4", "; did you mean BAAI/bge-m3?"),
        ("sentence-transformer/all-MiniLM-L6-v2", f"; did you mean {MINILM}?"),
        ("Org/cached", ""),
        ("something/else", ""),
    ],
)
def test_a_near_miss_is_suggested(places: Places, text: str, suggestion: str) -> None:
    assert near(text, places) == suggestion
