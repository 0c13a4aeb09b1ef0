"""Adapter: a merged LoRA adapter equals the model with the adapter beside it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file
from torch.nn import functional

from app.model.manifest import PROBES_FILE, Manifest
from app.proof.bounds import is_proved
from app.proof.probes import Probes
from export import pipeline
from export.cli import Request, already_exported
from export.errors import ExportError
from tests.support.tiny_checkpoints import write_json

library: Any = transformers

RANK, ALPHA = 3, 6
LAYERS = ("encoder.layer.0.attention.self.query", "encoder.layer.1.output.dense")
EMBEDDING = "embeddings.word_embeddings"


def write_adapter(folder: Path, name: str, seed: int, **config: Any) -> dict[str, torch.Tensor]:
    """A LoRA adapter of two linear layers and the embeddings, as PEFT saves it."""
    torch.manual_seed(seed)
    model = library.AutoModel.from_pretrained(folder)
    found: dict[str, torch.Tensor] = {}
    for layer in LAYERS:
        outputs, inputs = model.get_submodule(layer).weight.shape
        found[f"base_model.model.{layer}.lora_A.weight"] = torch.randn(RANK, inputs) / 4
        found[f"base_model.model.{layer}.lora_B.weight"] = torch.randn(outputs, RANK) / 4
    words, width = model.get_submodule(EMBEDDING).weight.shape
    found[f"base_model.model.{EMBEDDING}.lora_embedding_A"] = torch.randn(RANK, words) / 4
    found[f"base_model.model.{EMBEDDING}.lora_embedding_B"] = torch.randn(width, RANK) / 4
    (folder / name).mkdir()
    save_file(found, folder / name / "adapter_model.safetensors")
    described = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "bias": "none"}
    write_json(folder / name / "adapter_config.json", described | config)
    return found


def beside(folder: Path, adapter: dict[str, torch.Tensor]) -> Callable[[list[str]], Any]:
    """The model with the adapter computed beside its layers: texts to mean vectors."""
    model = library.AutoModel.from_pretrained(folder).eval()
    tokenizer = library.AutoTokenizer.from_pretrained(folder)
    scale = ALPHA / RANK

    def linear(layer: str) -> Callable[..., torch.Tensor]:
        down = adapter[f"base_model.model.{layer}.lora_A.weight"]
        up = adapter[f"base_model.model.{layer}.lora_B.weight"]
        return lambda _, taken, given: given + scale * (taken[0] @ down.T) @ up.T

    def embedding(_: Any, taken: tuple[torch.Tensor], given: torch.Tensor) -> torch.Tensor:
        down = adapter[f"base_model.model.{EMBEDDING}.lora_embedding_A"]
        up = adapter[f"base_model.model.{EMBEDDING}.lora_embedding_B"]
        return given + scale * functional.embedding(taken[0], down.T) @ up.T

    for layer in LAYERS:
        model.get_submodule(layer).register_forward_hook(linear(layer))
    model.get_submodule(EMBEDDING).register_forward_hook(embedding)

    def run(texts: list[str]) -> Any:
        with torch.inference_mode():
            given = [
                tokenizer(text, truncation=True, max_length=32, return_tensors="pt")
                for text in texts
            ]
            states = [model(**one).last_hidden_state[0].mean(dim=0) for one in given]
            return functional.normalize(torch.stack(states)).numpy()

    return run


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bert, tmp_path / "model")


@pytest.mark.slow
def test_an_adapter_makes_a_model_of_its_own(folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(folder, "retrieval_query", 1)
    write_adapter(folder, "separation", 2)
    wanted = Request(str(folder), models_dir=tmp_path / "models", adapter="retrieval_query")
    exported = pipeline.export(wanted)
    assert (exported.name, already_exported(wanted)) == ("model_retrieval_query", exported)
    manifest = Manifest.read(exported)
    assert manifest.source.id == "model_retrieval_query"
    assert is_proved("embedding", "float32", manifest.certificates[0])
    probes = Probes.read(exported / PROBES_FILE).take(40)
    lengths = np.linalg.norm(probes.vectors, axis=1, keepdims=True)
    prompts = probes.prompts or ("",) * len(probes.texts)
    texts = [f"{prompt}{text}" for prompt, text in zip(prompts, probes.texts, strict=True)]
    expected = beside(folder, adapter)(texts)
    np.testing.assert_allclose(probes.vectors / lengths, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_two_adapters_are_two_vector_spaces(folder: Path, tmp_path: Path) -> None:
    found = set()
    for seed, name in enumerate(("retrieval_query", "separation")):
        write_adapter(folder, name, seed)
    for adapter in (None, "retrieval_query", "separation"):
        wanted = Request(str(folder), models_dir=tmp_path / "models", adapter=adapter)
        found.add(Manifest.read(pipeline.export(wanted)).fingerprint)
    assert len(found) == 3


@pytest.mark.parametrize(
    ("adapter", "config", "message"),
    [
        ("absent", {}, r"^--adapter absent: \S+ has no such adapter: it has query$"),
        ("../model", {}, r"has no such adapter: it has query$"),
        ("query", {"peft_type": "IA3"}, r"describes no LoRA adapter: IA3 is not supported"),
        ("query", {"use_dora": True}, r"use_dora is not supported"),
        ("query", {"bias": "all"}, r"bias: only none is supported"),
    ],
)
def test_unsupported_adapters_are_refused(
    folder: Path, tmp_path: Path, adapter: str, config: dict[str, Any], message: str
) -> None:
    write_adapter(folder, "query", 1, **config)
    with pytest.raises(ExportError, match=message):
        pipeline.export(Request(str(folder), models_dir=tmp_path / "models", adapter=adapter))


def test_an_adapter_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    adapter = write_adapter(folder, "query", 1)
    strange = {name.replace("encoder", "decoder"): tensor for name, tensor in adapter.items()}
    save_file(strange, folder / "query" / "adapter_model.safetensors")
    with pytest.raises(ExportError, match=r"decoder\S+lora_A\.weight belongs to no layer"):
        pipeline.export(Request(str(folder), models_dir=tmp_path / "models", adapter="query"))
