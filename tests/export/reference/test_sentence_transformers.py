"""Whole exports against the real SentenceTransformer: served vectors equal its own."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

from app.model.manifest import PROBES_FILE, TOKENIZER_FILE, Manifest
from app.model.names import PoolingMode
from app.proof.bounds import WORST_COSINE
from app.proof.probes import Probes
from export import pipeline
from export.cli import Request
from export.errors import ExportError
from tests.support.tiny_checkpoints import make_tokenizer, write_json
from tools.models import checkpoints
from tools.models.tiny_models import TINY_MODELS
from tools.process import Server

OLD = "sentence_transformers.models."
Change = Callable[[Path], None]


def modules(folder: Path, *kinds: str) -> None:
    paths = [f"{i}_{kind}" if i else "" for i, kind in enumerate(kinds)]
    entries = [
        {"idx": i, "name": str(i), "path": path, "type": OLD + kind}
        for i, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    write_json(folder / "modules.json", entries)


def dense(folder: Path, inputs: int, outputs: int, activation: str | None = None) -> dict[str, Any]:
    config = {"in_features": inputs, "out_features": outputs, "bias": True}
    named = {"activation_function": f"torch.nn.modules.activation.{activation}"}
    write_json(folder / "config.json", config | (named if activation else {}))
    linear = torch.nn.Linear(inputs, outputs)
    return {f"linear.{name}": one.detach() for name, one in linear.named_parameters()}


def many_layers(folder: Path) -> None:
    """Two poolings, layers of every kind, weights as safetensors and as a pickle, a cut."""
    torch.manual_seed(5)
    modules(
        folder, "Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dense", "Normalize"
    )
    pooling = {"word_embedding_dimension": 32, "pooling_mode": ["max", "weightedmean"]}
    write_json(folder / "1_Pooling/config.json", pooling)
    save_file(dense(folder / "2_Dense", 64, 24, "GELU"), folder / "2_Dense/model.safetensors")
    write_json(folder / "3_LayerNorm/config.json", {"dimension": 24})
    norm = {"norm.weight": torch.rand(24), "norm.bias": torch.rand(24)}
    save_file(norm, folder / "3_LayerNorm/model.safetensors")
    torch.save(dense(folder / "5_Dense", 24, 16), folder / "5_Dense/pytorch_model.bin")
    write_json(folder / "config_sentence_transformers.json", {"truncate_dim": 12})


def cased(folder: Path) -> None:
    """A tokenizer that keeps case, though the model is lower-case."""
    tokenizer = make_tokenizer(("[PAD]", "[CLS]", "[SEP]", "[UNK]"), "[CLS]", "[SEP]")
    tokenizer.normalizer = None
    tokenizer.save(str(folder / TOKENIZER_FILE))
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 32, "do_lower_case": True})
    names = {"pad": "[PAD]", "cls": "[CLS]", "sep": "[SEP]", "unk": "[UNK]"}
    plain = {"tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(
        folder / "tokenizer_config.json", plain | {f"{k}_token": v for k, v in names.items()}
    )


def encoder_in_a_folder(folder: Path) -> None:
    """The layout of early versions of sentence-transformers."""
    place = folder / "0_Transformer"
    place.mkdir()
    for path in [one for one in folder.iterdir() if one.is_file()]:
        if path.name not in {"modules.json", "config_sentence_transformers.json"}:
            path.rename(place / path.name)
    types = ["Transformer", "Pooling"]
    entries = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}", "type": OLD + kind}
        for i, kind in enumerate(types)
    ]
    write_json(folder / "modules.json", entries)
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_sqrt_len_tokens": True}
    write_json(folder / "1_Pooling/config.json", pooling)


@pytest.mark.parametrize(
    "change",
    [
        many_layers,
        *(pytest.param(one, marks=pytest.mark.slow) for one in (cased, encoder_in_a_folder)),
    ],
)
def test_export_equals_sentence_transformers(bert: Path, tmp_path: Path, change: Change) -> None:
    source = shutil.copytree(bert, tmp_path / "tiny-bert")
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    write_json(source / "1_Pooling/config.json", pooling)
    change(source)
    folder = pipeline.export(Request(str(source), models_dir=tmp_path / "models"))
    manifest = Manifest.read(folder)
    exact = [one.worst_cosine for one in manifest.certificates if one.compute_dtype == "float32"]
    assert min(exact) >= WORST_COSINE["float32"]
    probes = Probes.read(folder / PROBES_FILE)
    original = SentenceTransformer(str(source), device="cpu", local_files_only=True)
    asked = zip(probes.prompts or ("",) * len(probes), probes.texts, strict=True)
    expected = original.encode([f"{prompt}{text}" for prompt, text in asked], batch_size=1)
    assert expected.shape == (len(probes), manifest.dimensions)
    np.testing.assert_allclose(unit(probes.vectors), unit(expected), rtol=0, atol=1e-5)


PROMPTS = {"query": "find texts about: ", "passage": "", "title": "a title: "}


@pytest.fixture(scope="module")
def left_padded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder, whose positions are right whichever side is padded."""
    [model] = [one for one in TINY_MODELS if one.name == "qwen3-lasttoken"]
    return checkpoints.write(model, tmp_path_factory.mktemp("decoder") / "tiny-qwen", "left")


@pytest.mark.slow
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_prompt_that_is_not_pooled_is_attended_to(
    bert: Path, left_padded: Path, tmp_path: Path, side: str
) -> None:
    """All poolings at once, each judged by itself."""
    folder = shutil.copytree(bert if side == "right" else left_padded, tmp_path / "checkpoint")
    modes = [one.replace("last_token", "lasttoken") for one in get_args(PoolingMode)]
    config = {"word_embedding_dimension": 32, "pooling_mode": modes, "include_prompt": False}
    write_json(folder / "1_Pooling/config.json", config)
    write_json(folder / "config_sentence_transformers.json", {"prompts": PROMPTS})
    exported = pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))
    manifest = Manifest.read(exported)
    assert manifest.leaves_out_prompts
    assert manifest.padding.side == side
    probes = Probes.read(exported / PROBES_FILE)
    assert set(probes.prompts) == {"", PROMPTS["query"], PROMPTS["title"]}
    original = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    for prompt in set(probes.prompts):
        places = [i for i, one in enumerate(probes.prompts) if one == prompt][::4]
        expected = original.encode([probes.texts[i] for i in places], prompt=prompt, batch_size=1)
        found = probes.vectors[places].reshape(-1, 32)
        np.testing.assert_allclose(unit(found), unit(expected.reshape(-1, 32)), rtol=0, atol=1e-5)


@pytest.mark.slow
def test_requests_with_different_prompts_share_batches(bert: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(bert, tmp_path / "checkpoint")
    config = {"word_embedding_dimension": 32, "pooling_mode": "mean", "include_prompt": False}
    write_json(folder / "1_Pooling/config.json", config)
    write_json(folder / "config_sentence_transformers.json", {"prompts": PROMPTS})
    exported = pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))
    original = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    names = (None, "query", "passage", "title") * 6
    texts = ["rain and music in the old city of paris" * (1 + i % 3) for i in range(len(names))]
    flags = ("--dtype", "float32", "--default-prompt-name", "title", "--log-level", "error")
    server = Server("--model-id", str(exported), *flags)

    def embed(text: str, name: str | None, path: str = "/embed") -> Any:
        return server.post(path, {"inputs": text, "prompt_name": name}).json[0]

    try:
        server.wait_ready()
        with ThreadPoolExecutor(len(names)) as pool:
            found = np.array(list(pool.map(embed, texts, names)), np.float32)
        tokens = embed(texts[0], "query", "/embed_all")
    finally:
        server.stop()
    for row, text, name in zip(found, texts, names, strict=True):
        expected = original.encode(text, prompt=PROMPTS[name or "title"])
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-5)
    expected = original.encode(texts[0], prompt_name="query", output_value="token_embeddings")
    np.testing.assert_allclose(tokens, expected, rtol=0, atol=1e-4)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    found: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return found


def damage(folder: Path) -> None:
    (folder / "5_Dense/pytorch_model.bin").write_bytes(b"not a pickle")


def runs_code(folder: Path) -> None:
    torch.save({"linear.weight": print}, folder / "5_Dense/pytorch_model.bin")


def another_shape(folder: Path) -> None:
    torch.save(dense(folder / "other", 24, 15), folder / "5_Dense/pytorch_model.bin")


def other_names(folder: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, folder / "5_Dense/pytorch_model.bin")


def missing(folder: Path) -> None:
    (folder / "5_Dense/pytorch_model.bin").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (damage, "5_Dense/pytorch_model.bin cannot be read"),
        (runs_code, "5_Dense/pytorch_model.bin cannot be read"),
        (another_shape, r"linear.weight has the shape \(15, 24\), its config.json says \(16, 24\)"),
        (other_names, "holds weight instead of linear.weight, linear.bias"),
        (missing, "5_Dense has no weights"),
    ],
)
def test_damaged_layers_are_refused_in_one_line(
    bert: Path, tmp_path: Path, change: Change, message: str
) -> None:
    source = shutil.copytree(bert, tmp_path / "tiny-bert")
    many_layers(source)
    change(source)
    with pytest.raises(ExportError, match=message) as refusal:
        pipeline.export(Request(str(source), models_dir=tmp_path / "models"))
    assert "\n" not in str(refusal.value)
