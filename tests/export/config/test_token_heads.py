"""Token heads: the two layers of BGE-M3, found, read safely, grafted, and part of the fingerprint."""

import json
import os
import pickle
import zipfile
from collections.abc import Callable
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
from export.config import token_heads
from export.config.layers import Head, Linear, Normalize, TokenHeads, Weights
from export.errors import ExportError
from export.folder.fingerprint import fingerprint
from export.graph import heads
from export.weights import tensors
from export.weights.weight_files import of_encoder
from tests.export.graph.test_heads import encoder, pad, run
from tests.support.tiny_checkpoints import write_json, write_modules, write_xlm_roberta

SPARSE, COLBERT = token_heads.SPARSE_FILE, token_heads.MULTI_VECTOR_FILE


def save(path: Path, outputs: int, inputs: int = 32) -> None:
    torch.manual_seed(outputs)
    torch.save(torch.nn.Linear(inputs, outputs).state_dict(), path)


@pytest.fixture
def m3(tmp_path: Path) -> Path:
    """The tiny XLM-RoBERTa with both heads."""
    folder = write_xlm_roberta(tmp_path / "tiny-m3")
    write_modules(folder, "cls_token")
    save(folder / SPARSE, 1)
    save(folder / COLBERT, 20)
    return folder


def export(folder: Path) -> Path:
    return pipeline.export(Request(str(folder), models_dir=folder.parent / "models"))


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
def test_the_graph_says_of_each_token_what_torch_says(tmp_path: Path, side: str) -> None:
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
    exact, _, second = manifest.graphs
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


class Bomb:
    """Unpickled in the usual way, it makes a folder."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.place),)


Change = Callable[[Path], None]


def garbage(path: Path) -> None:
    path.write_bytes(b"not a pickle")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def code(path: Path) -> None:
    torch.save({"weight": Bomb(path.parent / "exploded"), "bias": torch.zeros(1)}, path)


def bare_code(path: Path) -> None:
    path.write_bytes(pickle.dumps(Bomb(path.parent / "exploded")))


def other_names(path: Path) -> None:
    torch.save({"linear.weight": torch.zeros(1, 32)}, path)


def other_width(path: Path) -> None:
    torch.save(torch.nn.Linear(31, 1).state_dict(), path)


def inflated(path: Path) -> None:
    """A few bytes that claim to be 32 values a billion times over."""
    huge = torch.zeros(1).expand(10**9, 32)
    torch.save({"weight": huge, "bias": torch.zeros(1).expand(10**9)}, path)


def compressed(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        contents = {one.filename: archive.read(one) for one in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in contents.items():
            archive.writestr(entry, content)


@pytest.mark.parametrize("name", [SPARSE, COLBERT])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (compressed, "is compressed, which PyTorch never does"),
        (garbage, "cannot be read: it is damaged, or holds more than tensors"),
        (truncated, "cannot be read: "),
        (empty, "cannot be read: "),
        (code, "cannot be read: it is damaged, or holds more than tensors, which is never loaded"),
        (bare_code, "cannot be read: it is damaged, or holds more than tensors"),
        (other_names, "holds linear.weight instead of weight, bias"),
        (other_width, "weight has the shape"),
        (inflated, "weight (has the shape|is larger than its file)"),
    ],
)
def test_hostile_files_are_refused_in_one_line(
    m3: Path, name: str, change: Change, message: str
) -> None:
    change(m3 / name)
    with pytest.raises(ExportError, match=f"{name}.*{message}") as refusal:
        export(m3)
    assert "\n" not in str(refusal.value)
    assert not (m3 / "exploded").exists()
    assert not (m3.parent / "models/tiny-m3").exists()
