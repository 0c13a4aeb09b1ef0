"""A TEI as a peer: which one is accepted, and which is refused."""

from pathlib import Path

import pytest

from app.proof.bounds import Agreement
from tools import tiny
from tools.bench.peers.tei import NAME, Tei, name, other_model, other_vectors
from tools.process import Server, free_port

MODEL = "sentence-transformers/all-MiniLM-L6-v2"


def test_its_own_description_names_its_row(tmp_path: Path) -> None:
    tiny.build(tmp_path)
    with Server("--model-id", str(tmp_path), "--dtype", "float32") as server:
        server.wait_ready()
        info = Tei(f"{server.url}/").info()
        assert name(info) == f"{NAME} {info['version']}, float32"
        assert other_model(info, f"some/{tmp_path.name}") is None


def test_an_address_where_nothing_answers_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ValueError, match=f"no TEI answers at {url}/info"):
        Tei(url).info()


@pytest.mark.parametrize("theirs", [MODEL, "/data/All-MiniLM-L6-v2/"])
def test_the_same_model_is_taken_by_its_name_or_its_folder(theirs: str) -> None:
    assert other_model({"model_id": theirs}, MODEL) is None


def test_another_model_is_refused() -> None:
    fault = other_model({"model_id": "BAAI/bge-small-en-v1.5"}, MODEL)
    assert fault == f"TEI serves BAAI/bge-small-en-v1.5, not {MODEL}"
    assert other_model({}, MODEL) == f"TEI serves what it does not name, not {MODEL}"


def test_other_vectors_are_refused() -> None:
    assert other_vectors(Agreement(0.9995, 1, 0, 1)) is None
    fault = other_vectors(Agreement(0.9, 1, 0, 1))
    assert fault is not None
    assert "worst cosine 0.9000000, at least 0.999 is expected" in fault
