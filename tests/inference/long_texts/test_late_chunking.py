"""Late chunking: which models support it."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.inference.long_texts.late_chunking import LateChunking
from app.model.manifest import Manifest
from app.model.names import POOLED_OUTPUTS, SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS
from app.model.parts import Route


@pytest.fixture
def manifest(tiny_model: Path) -> Manifest:
    return Manifest.read(tiny_model)


def refusal(
    manifest: Manifest, output: str = SENTENCE_EMBEDDING, *, embed_all: bool = True
) -> str | None:
    return LateChunking.of(manifest, output, embed_all=embed_all).refusal


def without(manifest: Manifest, output: str) -> Manifest:
    """The same model without an output in its graphs."""
    left = [[one for one in graph.outputs if one != output] for graph in manifest.graphs]
    graphs = zip(manifest.graphs, left, strict=True)
    return replace(
        manifest, graphs=tuple(replace(one, outputs=tuple(names)) for one, names in graphs)
    )


def test_a_model_with_mean_pooling_supports_it(manifest: Manifest) -> None:
    found = LateChunking.of(manifest, SENTENCE_EMBEDDING, embed_all=True)
    assert (found.refusal, found.dimensions) == (None, manifest.dimensions)
    as_mean = replace(manifest, pooling="cls")
    assert refusal(as_mean, POOLED_OUTPUTS["mean"]) is None  # --pooling mean


def test_others_say_what_they_lack(manifest: Manifest) -> None:
    pooled = "it needs a model that takes the mean of its tokens, and this one's is"
    assert refusal(replace(manifest, pooling="cls")) == f"{pooled} cls"
    assert refusal(replace(manifest, pooling="mean+max")) == f"{pooled} mean+max"
    assert refusal(replace(manifest, pooling="graph")) == f"{pooled} graph"
    assert refusal(manifest, POOLED_OUTPUTS["last_token"]) == f"{pooled} last_token"
    more = "the model's vectors are more than the mean of its tokens"
    assert refusal(without(manifest, POOLED_OUTPUTS["mean"])) == more  # as with Dense layers
    assert refusal(without(manifest, TOKEN_EMBEDDINGS)) == more
    assert refusal(manifest, embed_all=False) == (
        "it needs a vector for each token, and the service was started with --embed-all false"
    )
    routed = replace(manifest, routes=(Route("query", ("query",), SENTENCE_EMBEDDING, 12),))
    assert (
        refusal(routed) == "the model is static, or embeds queries and documents in different ways"
    )
    assert refusal(replace(manifest, task="reranker")) == "the model is not an embedding model"
