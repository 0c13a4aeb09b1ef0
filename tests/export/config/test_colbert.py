"""ColBERT models: exported, served token by token, and equal to PyTorch; what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from tokenizers import Tokenizer

from app.application import build, create_app
from app.model.manifest import Manifest
from app.options.settings import Settings
from export import pipeline
from export.checkpoint import read
from export.cli import Request
from export.errors import ExportError
from tests.export.checkpoint.test_kinds import ask
from tests.support.tiny_checkpoints import write_json
from tools.asgi import post

library: Any = transformers
PYLATE = "pylate.models.Dense.Dense"
PLAIN = "sentence_transformers.models.Dense"
TEXTS = ["water", "music in the city on a monday", "x" * 90, "a python song!"]


def write_layer(folder: Path, inputs: int, outputs: int, **config: Any) -> None:
    torch.manual_seed(inputs + outputs)
    weights = {"linear.weight": torch.randn(outputs, inputs)}
    if config.get("use_residual") and inputs != outputs:
        weights["residual.weight"] = torch.randn(outputs, inputs)
    identity = "torch.nn.modules.linear.Identity"
    shape = {"in_features": inputs, "out_features": outputs, "bias": False}
    write_json(folder / "config.json", {**shape, "activation_function": identity, **config})
    save_file(weights, folder / "model.safetensors")


def write_modules(folder: Path, *kinds: str) -> None:
    entries = [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}
    ]
    for i, kind in enumerate(kinds, 1):
        path = f"{i}_{kind.rpartition('.')[2]}"
        entries.append({"idx": i, "name": str(i), "path": path, "type": kind})
    write_json(folder / "modules.json", entries)


def write_colbert(bert: Path, folder: Path) -> Path:
    """The tiny BERT as PyLate saves it, with the tokens before queries and documents."""
    shutil.copytree(bert, folder)
    shutil.rmtree(folder / "1_Pooling")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = library.BertModel.from_pretrained(folder, add_pooling_layer=False)
    tokenizer.add_tokens(["[Q] ", "[D] "])
    tokenizer.save(str(folder / "tokenizer.json"))
    model.resize_token_embeddings(tokenizer.get_vocab_size())
    model.save_pretrained(folder)
    write_modules(folder, PYLATE)
    write_layer(folder / "1_Dense", 32, 8, use_residual=False)
    settings = {
        "model_type": "ColBERT",
        "prompts": {},
        "query_prefix": "[Q] ",
        "document_prefix": "[D] ",
        "query_length": 16,
        "document_length": 24,
        "do_query_expansion": True,
        "attend_to_expansion_tokens": False,
        "skiplist_words": ["!"],
        "similarity_fn_name": "MaxSim",
    }
    write_json(folder / "config_sentence_transformers.json", settings)
    return folder


@pytest.fixture
def colbert(bert: Path, tmp_path: Path) -> Path:
    return write_colbert(bert, tmp_path / "tiny-colbert")


@pytest.fixture(scope="module")
def original(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, and the source of `exported`; neither is to be written to."""
    return write_colbert(bert, tmp_path_factory.mktemp("colbert") / "tiny-colbert")


@pytest.fixture(scope="module")
def exported(original: Path) -> Path:
    return export(original)


def export(folder: Path, **options: Any) -> Path:
    return pipeline.export(Request(str(folder), models_dir=folder.parent / "models", **options))


def embeddings(folder: Path, text: str, prefix: str | None = None) -> torch.Tensor:
    """The encoder's token embeddings; a prefix becomes the second token, as in PyLate."""
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    model = library.AutoModel.from_pretrained(folder).eval()
    length = 24 - (prefix is not None)
    ids = tokenizer(text, truncation=True, max_length=length)["input_ids"]
    if prefix is not None:
        ids.insert(1, tokenizer.convert_tokens_to_ids(prefix))
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    return found


def weights(folder: Path, layer: str, name: str) -> torch.Tensor:
    from safetensors.torch import load_file

    return load_file(folder / layer / "model.safetensors")[name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("prompt", "prefix"), [(None, None), ("query", "[Q] "), ("document", "[D] ")]
)
def test_every_token_has_its_projected_vector(
    original: Path, exported: Path, prompt: str | None, prefix: str | None
) -> None:
    answers = ask(exported, "/embed_all", {"inputs": TEXTS, "prompt_name": prompt})
    for text, rows in zip(TEXTS, answers, strict=True):
        projected = (
            embeddings(original, text, prefix) @ weights(original, "1_Dense", "linear.weight").T
        )
        expected = torch.nn.functional.normalize(projected, dim=-1)
        np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-5)


def test_the_folder_says_what_the_model_is(original: Path, exported: Path) -> None:
    manifest = Manifest.read(exported)
    assert (manifest.task, manifest.pooling, manifest.dimensions) == ("multi_vector", None, 8)
    assert (manifest.similarity, manifest.max_input_length) == ("MaxSim", 24)
    assert manifest.prompts == {"query": "[Q] ", "document": "[D] "}
    assert manifest.graphs[0].outputs == ("token_embeddings", "multi_vector_embedding")
    assert manifest.certificates[0].worst_cosine > 0.99999
    [warning] = read.read(original).warnings
    assert "queries are not filled up with mask tokens" in warning


def test_a_whole_text_has_no_vector(exported: Path) -> None:
    settings = Settings(model_id=str(exported))
    app = create_app(build(settings, exported), settings)
    for path, body in (("/embed", {"inputs": "a"}), ("/v1/embeddings", {"input": "a"})):
        reply = post(app, path, body)
        assert reply.status == 424
        assert "/embed_all gives those of its tokens" in reply.text


@pytest.mark.slow
def test_int8_is_exported_of_vectors_for_tokens_too(colbert: Path) -> None:
    [exact, second] = Manifest.read(export(colbert, dtypes=("int8",))).certificates[:2]
    assert (exact.compute_dtype, second.compute_dtype) == ("float32", "int8")
    assert 0.8 <= second.worst_cosine < exact.worst_cosine


@pytest.mark.slow
def test_layers_may_add_what_comes_in(colbert: Path) -> None:
    write_modules(colbert, PYLATE, PYLATE)
    write_layer(colbert / "1_Dense", 32, 16, use_residual=True)
    shutil.copytree(colbert / "1_Dense", colbert / "2_Dense")
    write_layer(colbert / "2_Dense", 16, 16, use_residual=True)
    [rows] = ask(export(colbert), "/embed_all", {"inputs": "water"})
    value = embeddings(colbert, "water")
    first = [weights(colbert, "1_Dense", f"{name}.weight") for name in ("linear", "residual")]
    value = value @ first[0].T + value @ first[1].T
    value = value @ weights(colbert, "2_Dense", "linear.weight").T + value
    expected = torch.nn.functional.normalize(value, dim=-1)
    np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("normalized", [False, True])
def test_sentence_transformers_normalizes_tokens_where_it_says_so(
    colbert: Path, normalized: bool
) -> None:
    (colbert / "config_sentence_transformers.json").unlink()
    more = ["sentence_transformers.models.Normalize"] if normalized else []
    write_modules(colbert, PLAIN, *more)
    write_layer(colbert / "1_Dense", 32, 8, module_input_name="token_embeddings")
    [rows] = ask(export(colbert), "/embed_all", {"inputs": "water"})
    value = embeddings(colbert, "water") @ weights(colbert, "1_Dense", "linear.weight").T
    expected = torch.nn.functional.normalize(value, dim=-1) if normalized else value
    np.testing.assert_allclose(rows, expected, rtol=0, atol=2e-5)


def test_a_prefix_that_is_not_one_token_is_left_out(colbert: Path) -> None:
    path = colbert / "config_sentence_transformers.json"
    settings = json.loads(path.read_text())
    write_json(path, settings | {"query_prefix": "[unused0]"})
    found = read.read(colbert)
    assert found.prompts == {"document": "[D] "}
    assert any("query prefix '[unused0]' is not one token" in text for text in found.warnings)


def without_a_place(folder: Path) -> None:
    (folder / "config_sentence_transformers.json").unlink()
    write_modules(folder, PLAIN)
    write_layer(folder / "1_Dense", 32, 8)


def of_another_width(folder: Path) -> None:
    write_layer(folder / "1_Dense", 31, 8)


def cut(folder: Path) -> None:
    path = folder / "config_sentence_transformers.json"
    write_json(path, json.loads(path.read_text()) | {"truncate_dim": 4})


def of_stanford(folder: Path) -> None:
    (folder / "modules.json").unlink()
    path = folder / "config.json"
    write_json(path, json.loads(path.read_text()) | {"architectures": ["HF_ColBERT"]})


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (without_a_place, {}, "module_input_name None is not supported"),
        (of_another_width, {}, "do not fit together: .*1_Dense takes 31 values, and gets 32"),
        (cut, {}, "truncate_dim 4 is not supported for vectors of tokens"),
        (of_stanford, {}, "HF_ColBERT keeps its projection .* save the model with PyLate"),
        (lambda _: None, {"pooling": "mean"}, "--pooling mean is not possible"),
    ],
)
def test_unsupported_settings_are_refused(
    colbert: Path, change: Any, options: Any, message: str
) -> None:
    change(colbert)
    with pytest.raises(ExportError, match=message) as refusal:
        export(colbert, **options)
    assert "\n" not in str(refusal.value)
