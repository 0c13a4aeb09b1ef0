"""Paths: which one a request's target names."""

import pytest

from app.api.http.paths import path_of


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/embed", "/embed"),
        ("/embed?a=/b", "/embed?a=/b"),
        ("/embed#part", "/embed"),
        ("http://host/embed", "/embed"),
        ("http://host", "/"),
        ("*", "*"),
        ("host:80", "host:80"),
        ("/v1//embeddings/", "/v1/embeddings"),
        ("//v1/embeddings", "/v1/embeddings"),
        ("/v2/rerank/", "/v2/rerank"),
        ("/embed/", "/embed/"),
        ("//embed", "//embed"),
    ],
)
def test_a_target_names_its_path(target: str, path: str) -> None:
    assert path_of(target) == path
