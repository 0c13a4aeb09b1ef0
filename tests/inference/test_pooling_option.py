"""Pooling: which --pooling a model can be served with, and the output that it reads."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import StartupError
from app.inference.pooling_option import output_for, require_pooling
from app.model.manifest import Manifest
from app.options.settings import Settings
from tools import tiny


def test_another_pooling_reads_another_output(
    tiny_model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = Manifest.read(tiny_model)
    assert output_for(manifest, None) == output_for(manifest, "mean") == "sentence_embedding"
    assert not caplog.messages
    assert output_for(manifest, "last_token") == "pooled_last_token"
    assert "what is served is not proved" in caplog.messages[0]


def test_pooling_asked_for_is_refused_where_vectors_are_more_than_one(tiny_model: Path) -> None:
    manifest = Manifest.read(tiny_model)
    [graph] = manifest.graphs
    bare = replace(graph, outputs=("token_embeddings", "sentence_embedding"))
    layered = replace(manifest, pooling="max+cls", graphs=(bare,))
    assert output_for(layered, None) == "sentence_embedding"
    with pytest.raises(StartupError, match=r"--pooling cls is not possible: .* own is max\+cls"):
        output_for(layered, "cls")


def test_a_splade_model_is_not_pooled_otherwise(tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path, "splade")
    settings = Settings(model_id=str(tmp_path), pooling="mean")
    command = f"make export MODEL_ID={manifest.source.id} POOLING=mean"
    with pytest.raises(StartupError) as caught:
        require_pooling(settings, manifest)
    assert str(caught.value) == (
        "--pooling mean: the model was exported with splade pooling; leave the option out, or "
        f"run: {command}"
    )


def test_splade_is_accepted_on_a_splade_model(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = tiny.build(tmp_path, "splade")
    require_pooling(Settings(model_id=str(tmp_path), pooling="splade"), manifest)
    assert output_for(manifest, "splade") == "sparse_embedding"
    reranker = replace(manifest, task="reranker", pooling=None)
    require_pooling(Settings(model_id="m", pooling="splade"), reranker)  # as in TEI
    assert not caplog.messages
