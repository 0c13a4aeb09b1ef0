"""The proof over a folder whose model is one lookup table, so that every number is known."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from app import prove
from app.errors import StartupError
from app.inference.providers.plan import ProviderRequest
from app.model.batch import TokenizedInput
from app.model.digests import file_digest
from app.model.manifest import SCHEMA, Manifest, ManifestError
from app.model.names import SENTENCE_EMBEDDING
from app.model.parts import Graph, Padding, Source
from app.proof.probes import Probes

TABLE = np.random.default_rng(11).normal(size=(6, 4)).astype(np.float32)
WORDS = {"[UNK]": 0, "sea": 1, "rain": 2, "train": 3, "song": 4, "old": 5}
TEXTS = ("sea", "old song", "rain rain train sea", "song sea", "train")


def write_graph(folder: Path) -> None:
    """sentence_embedding: the sum of the tokens' rows of TABLE, weighted by the mask."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "one"], ["row"]),
        helper.make_node("MatMul", ["row", "tokens"], ["sum"]),
        helper.make_node("Squeeze", ["sum", "one"], [SENTENCE_EMBEDDING]),
    ]
    graph = helper.make_graph(
        nodes,
        "table",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
            for name in ("input_ids", "attention_mask")
        ],
        [helper.make_tensor_value_info(SENTENCE_EMBEDDING, TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(TABLE, "table"), numpy_helper.from_array(np.array([1]), "one")],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), folder / "model.onnx")


def write_manifest(folder: Path) -> None:
    names = ("model.onnx", "tokenizer.json", "probes.npz")
    Manifest(
        schema=SCHEMA,
        source=Source("table", None, "TableModel", "table"),
        fingerprint="0" * 64,
        task="embedding",
        pooling="mean",
        dimensions=4,
        max_input_length=3,
        vocabulary_size=6,
        padding=Padding(0, 0, "right"),
        normalize=True,
        similarity="cosine",
        prompts={},
        default_prompt_name=None,
        graphs=(
            Graph(
                "model.onnx",
                "float32",
                ("cpu",),
                ("input_ids", "attention_mask"),
                (SENTENCE_EMBEDDING,),
            ),
        ),
        files={name: file_digest(folder / name) for name in names},
        tools={},
        created="2026-01-01T00:00:00+00:00",
    ).write(folder)


def probes() -> Probes:
    ids = [np.array([WORDS[word] for word in text.split()[:3]], np.int64) for text in TEXTS]
    vectors = np.stack([TABLE[item].sum(axis=0) for item in ids])
    return Probes(TEXTS, tuple(map(TokenizedInput, ids)), vectors)


def write_probes(folder: Path, stored: Probes) -> None:
    stored.write(folder / "probes.npz")
    write_manifest(folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token=next(iter(WORDS))))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    write_graph(tmp_path)
    write_probes(tmp_path, probes())
    return tmp_path


def test_certificate_says_what_ran_and_how_close_it_came(folder: Path) -> None:
    [certificate] = prove.prove(folder, ProviderRequest("cpu"))
    assert (certificate.graph, certificate.provider) == ("model.onnx", "cpu")
    assert (certificate.compute_dtype, certificate.reference) == ("float32", "pytorch")
    assert certificate.probes == len(TEXTS)
    assert certificate.worst_cosine == pytest.approx(1, abs=1e-12)
    assert certificate.largest_error < 1e-6
    assert certificate.machine


def test_one_wrong_vector_shows_in_the_worst_cosine(folder: Path) -> None:
    vectors = probes().vectors.copy()
    vectors[2] *= -1
    write_probes(folder, replace(probes(), vectors=vectors))
    [certificate] = prove.prove(folder, ProviderRequest("cpu"))
    assert certificate.worst_cosine == pytest.approx(-1)
    assert certificate.mean_cosine == pytest.approx(1 - 2 / len(TEXTS))


def test_text_that_is_tokenized_differently_is_named(folder: Path) -> None:
    inputs = list(probes().inputs)
    inputs[1] = TokenizedInput(np.array([5, 1], np.int64))
    write_probes(folder, replace(probes(), inputs=tuple(inputs)))
    with pytest.raises(StartupError, match=r"'old song' is tokenized as \[5, 4\]…, .* \[5, 1\]…"):
        prove.prove(folder, ProviderRequest("cpu"))


def test_changed_file_is_refused(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"something else")
    with pytest.raises(ManifestError, match=r"model\.onnx is not the file that was exported"):
        prove.prove(folder, ProviderRequest("cpu"))


def test_command_prints_the_certificate_as_json(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prove.main([str(folder)]) == 0
    [printed] = json.loads(capsys.readouterr().out)  # its manifest names no other provider
    assert printed["worst_cosine"] > 0.99999
    assert set(printed) >= {"graph", "provider", "compute_dtype", "machine", "probes", "created"}


def test_command_says_what_it_does_and_fails_with_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert prove.main([str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    [doing, fault] = printed.err.splitlines()
    assert doing.startswith(f"checking the files of {tmp_path}")
    assert fault.startswith("error: ")
