"""Token heads: the two layers of BGE-M3 are found, read safely, grafted, and fingerprinted."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto

from app.model.manifest import GRAPH_FILE, Manifest
from app.model.names import LEXICAL_WEIGHTS, MULTI_VECTOR_EMBEDDING, TOKEN_EMBEDDINGS
from app.model.parts import Lexical, MultiVector
from export import pipeline
from export.checkpoint import read
from export.cli import Request
from export.config.layers import Head, Linear, Normalize, TokenHeads, Weights
from export.folder.fingerprint import fingerprint
from export.graph import heads
from export.weights import tensors
from export.weights.weight_files import of_encoder
from tests.support.encoders import encoder, pad, run
from tests.support.tiny_checkpoints import write_json
from tests.support.token_heads import COLBERT, SPARSE, export, save


def test_both_heads_are_found_with_the_special_tokens(m3: Path) -> None:
    found = read.read(m3).tokens
    assert found.lexical == (Linear(m3 / SPARSE, 32, 1, "ReLU"),)
    assert found.multi_vector == (Linear(m3 / COLBERT, 32), Normalize())
    assert (found.ignored_ids, found.skipped_id) == ((0, 1, 2, 3), 0)


def test_special_tokens_may_be_objects_and_stand_in_either_file(m3: Path) -> None:
    config = json.loads((m3 / "tokenizer_config.json").read_text())
    del config["eos_token"], config["pad_token"], config["unk_token"]
    write_json(m3 / "tokenizer_config.json", config | {"cls_token": {"content": "<s>"}})
    assert read.read(m3).tokens.ignored_ids == (0,)
    write_json(m3 / "special_tokens_map.json", {"pad_token": {"content": "<pad>"}})
    assert read.read(m3).tokens.ignored_ids == (0, 1)


def test_a_checkpoint_without_them_has_none(bert: Path) -> None:
    assert read.read(bert).tokens == TokenHeads()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("missing", "lexical", "multi_vector"),
    [
        (COLBERT, Lexical((0, 1, 2, 3)), None),
        pytest.param(SPARSE, None, MultiVector(0), marks=pytest.mark.slow),
    ],
)
def test_one_head_is_exported_without_the_other(
    m3: Path, missing: str, lexical: Lexical | None, multi_vector: MultiVector | None
) -> None:
    (m3 / missing).unlink()
    manifest = Manifest.read(export(m3))
    assert (manifest.lexical, manifest.multi_vector) == (lexical, multi_vector)
    assert manifest.token_outputs == tuple(
        name for name in manifest.graphs[0].outputs if name not in TestedOtherwise
    )
    [certificate, *_] = manifest.certificates
    assert (certificate.lexical_cosine is None) == (lexical is None)
    assert (certificate.token_cosine is None) == (multi_vector is None)


TestedOtherwise = {
    TOKEN_EMBEDDINGS, "sentence_embedding", "pooled_cls", "pooled_mean", "pooled_last_token",
}  # fmt: skip


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_graph_gives_each_token_what_torch_gives(tmp_path: Path, side: str) -> None:
    save(tmp_path / SPARSE, 1, inputs=8)
    save(tmp_path / COLBERT, 5, inputs=8)
    tokens = TokenHeads(
        (Linear(tmp_path / SPARSE, 8, 1, "ReLU"),), (Linear(tmp_path / COLBERT, 8), Normalize())
    )
    weights: Weights = tensors.load(tokens.layers)
    heads.graft(encoder(tmp_path), tmp_path, Head(("cls",)), weights, tokens)
    ids, mask = pad([3, 1, 5], side)
    found = run(tmp_path, ids, mask)
    sparse, colbert = (torch.load(tmp_path / one, weights_only=True) for one in (SPARSE, COLBERT))
    embeddings = torch.from_numpy(found[TOKEN_EMBEDDINGS])
    linear = torch.nn.functional.linear
    expected = torch.relu(linear(embeddings, sparse["weight"], sparse["bias"]))[..., 0]
    np.testing.assert_allclose(found[LEXICAL_WEIGHTS], expected, atol=1e-6)
    vectors = linear(embeddings, colbert["weight"], colbert["bias"])
    normalized = torch.nn.functional.normalize(vectors, dim=-1)
    np.testing.assert_allclose(found[MULTI_VECTOR_EMBEDDING], normalized, atol=1e-6)
    outputs = onnxruntime.InferenceSession(tmp_path / GRAPH_FILE).get_outputs()
    shapes = {output.name: output.shape for output in outputs}
    assert shapes[LEXICAL_WEIGHTS] == ["batch", "sequence"]
    assert shapes[MULTI_VECTOR_EMBEDDING] == ["batch", "sequence", 5]


@pytest.mark.slow
def test_int8_keeps_both_heads_and_says_what_tokens_lose(m3: Path) -> None:
    models_dir = m3.parent / "models"
    folder = pipeline.export(Request(str(m3), models_dir=models_dir, dtypes=("int8",)))
    manifest = Manifest.read(folder)
    exact, _, second, *_ = manifest.graphs
    assert second.outputs == exact.outputs
    graph = onnx.load(folder / second.file, load_external_data=False).graph
    names = {item.name: item.data_type for item in graph.initializer}
    assert {kind for name, kind in names.items() if name.startswith("head/")} >= {TensorProto.FLOAT}
    certificate = manifest.certificates[1]
    assert certificate.compute_dtype == "int8"
    assert certificate.token_cosine is not None
    assert certificate.lexical_cosine is not None
    assert 0.8 <= min(certificate.token_cosine, certificate.lexical_cosine) < 0.99999


def test_other_heads_are_another_vector_space(m3: Path) -> None:
    def of() -> str:
        return fingerprint(of_encoder(m3), m3 / "tokenizer.json", read.read(m3))

    found = [of()]
    for name, outputs in ((SPARSE, 1), (COLBERT, 21)):
        torch.manual_seed(99)
        torch.save(torch.nn.Linear(32, outputs).state_dict(), m3 / name)
        found.append(of())
    (m3 / COLBERT).unlink()
    found.append(of())
    assert len(set(found)) == 4
