"""Short names of models, and the Hub's id of each."""

from app.model.lookup.published_names import PUBLISHED


def test_a_name_is_found_in_lower_case() -> None:
    assert PUBLISHED["all-minilm-l6-v2"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert PUBLISHED["bge-m3"] == "BAAI/bge-m3"
    assert all(name == name.lower() for name in PUBLISHED)


def test_ollama_s_names_are_known_too() -> None:
    assert PUBLISHED["all-minilm"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert PUBLISHED["nomic-embed-text"] == "nomic-ai/nomic-embed-text-v1.5"


def test_each_name_stands_for_an_organization_s_model() -> None:
    assert all(name.count("/") == 1 for name in PUBLISHED.values())
