"""Describe: a manifest tells what was made, and from which files."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from app.model.digests import file_digest
from app.model.manifest import CHATTING, ROUTED, SCHEMA
from app.model.pair_text import PairText
from app.model.parts import Route, Source
from export.checkpoint import read as checkpoints
from export.folder.describe import Made, describe, exact, quantized

NAMES = (("input_ids", "attention_mask"), ("sentence_embedding",))


@pytest.fixture
def made(bert: Path) -> Made:
    return Made(
        "org/tiny",
        "abc",
        checkpoints.read(bert),
        graphs=(exact(NAMES),),
        fingerprint="f" * 64,
        reference="sentence-transformers",
    )


def test_a_manifest_names_the_source_and_the_files(made: Made, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    found = describe(tmp_path, replace(made, left_out=("sparse",)))
    assert found.source == Source("org/tiny", "abc", "BertModel", "bert")
    assert (found.task, found.pooling, found.dimensions) == ("embedding", "mean", 32)
    assert found.files == {"model.onnx": file_digest(tmp_path / "model.onnx")}
    assert (found.left_out, found.certificates) == (("sparse",), ())


def test_versions_of_an_original_s_own_environment_have_the_last_say(
    made: Made, tmp_path: Path
) -> None:
    found = describe(tmp_path, replace(made, tools={"torch": "2.0", "onnx": "1.0"}))
    assert list(found.tools) == ["export", "onnx", "onnxruntime", "tokenizers", "torch"]
    assert (found.tools["onnx"], found.tools["tokenizers"]) == ("1.0", version("tokenizers"))


def test_only_what_older_servers_would_not_understand_has_a_schema_of_its_own(
    made: Made, tmp_path: Path
) -> None:
    route = Route("query", ("query",), "sentence_embedding", 32)
    routed = describe(tmp_path, replace(made, routes=(route,), default_route="query"))
    assert (routed.schema, routed.default_route) == (ROUTED, "query")
    pair_text = PairText("<q>", "<d>", "")
    reading = made.checkpoint.reading(pair_text, None)
    assert describe(tmp_path, replace(made, checkpoint=reading)).schema == CHATTING
    assert describe(tmp_path, made).schema == SCHEMA


def test_a_graph_that_was_quantized_before_is_the_cpu_s() -> None:
    assert exact(NAMES).providers == ("cpu", "openvino", "cuda", "tensorrt")
    found = quantized(NAMES, rows=1)
    assert (found.dtype, found.providers, found.rows) == ("int8", ("cpu",), 1)
