"""Routes that do not make one model, and the message for each."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from export import pipeline
from export.cli import Request
from export.errors import ExportError
from export.from_onnx.preparation import Preparation
from tests.support.routers import Models
from tests.support.tiny_checkpoints import write_json


def other_tokenizer(checkpoint: Path) -> None:
    path = checkpoint / "query_0_StaticEmbedding/tokenizer.json"
    content = json.loads(path.read_text())
    content["normalizer"] = None
    path.write_text(json.dumps(content))


def other_width(checkpoint: Path) -> None:
    router = json.loads((checkpoint / "router_config.json").read_text())
    router["structure"]["query"] = ["query_0_StaticEmbedding"]
    write_json(checkpoint / "router_config.json", router)


def another_module(checkpoint: Path) -> None:
    router = json.loads((checkpoint / "router_config.json").read_text())
    router["types"]["query_1_Dense"] = "sentence_transformers.sentence_transformer.modules.LSTM"
    write_json(checkpoint / "router_config.json", router)


def unknown_architecture(checkpoint: Path) -> None:
    path = checkpoint / "document_0_Transformer/config.json"
    write_json(path, json.loads(path.read_text()) | {"model_type": "new"})


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (unknown_architecture, "route document: architecture BertModel .* is not implemented"),
        (other_tokenizer, "the routes query and document have different tokenizers"),
        (other_width, "the routes query and document have different numbers of dimensions"),
        (another_module, "LSTM is not supported behind a table of tokens"),
    ],
)
def test_routes_that_cannot_be_one_model_are_refused(
    models: Models, tmp_path: Path, change: Callable[[Path], None], message: str
) -> None:
    checkpoint = shutil.copytree(models("dense-static")[0], tmp_path / "copy")
    change(checkpoint)
    with pytest.raises(ExportError, match=message):
        pipeline.export(Request(str(checkpoint), models_dir=tmp_path / "models"))
    assert [one for one in (tmp_path / "models").iterdir() if one.suffix != ".lock"] == []


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"pooling": "cls"}, "--pooling cls is not possible"),
        ({"dtypes": ("int8",)}, "--dtype int8 is not possible"),
    ],
)
def test_what_is_not_made_of_routes_is_refused(
    models: Models, tmp_path: Path, option: dict[str, Any], message: str
) -> None:
    checkpoint, _ = models("dense-static")
    with pytest.raises(ExportError, match=message):
        pipeline.export(Request(str(checkpoint), models_dir=tmp_path, **option))


def test_onnx_beside_a_router_is_not_taken_for_the_whole_model(
    models: Models, tmp_path: Path
) -> None:
    checkpoint = shutil.copytree(models("dense-static")[0], tmp_path / "copy")
    (checkpoint / "model.onnx").touch()
    with pytest.raises(ExportError, match=r"different ways.*: export it from its original weights"):
        pipeline.prepare(Preparation(checkpoint, tmp_path / "models", "m", "m"))
