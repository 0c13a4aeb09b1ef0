"""CLIP: its text encoder is exported, and equals the library's."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer
from tokenizers import pre_tokenizers

from app.model.manifest import PROBES_FILE, Manifest
from app.proof.bounds import is_proved
from app.proof.probes import Probes
from export import pipeline
from export.checkpoint import read as checkpoints
from export.cli import Request
from export.errors import ExportError
from tests.support.tiny_checkpoints import write_json

library: Any = transformers
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

START, END = "<|startoftext|>", "<|endoftext|>"


def write(folder: Path, eos: int | None = None) -> Path:
    """Write CLIP of two layers, 24 positions and 20 dimensions, without tokenizer.json, as OpenAI's.

    Those have 2 as `eos`, which is not the id of their end token.
    """
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "th", "the</w>", START, END]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    start, end = vocabulary[START], vocabulary[END]
    write_json(folder / "vocab.json", vocabulary)
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e</w>\n")
    names = {"bos": START, "eos": END, "unk": END, "pad": END}
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "CLIPTokenizer", "model_max_length": 24}
        | {f"{role}_token": text for role, text in names.items()},
    )
    torch.manual_seed(5)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    texts = {
        **size,
        "intermediate_size": 64,
        "vocab_size": len(pieces),
        "max_position_embeddings": 24,
        "eos_token_id": eos or end,
        "bos_token_id": start,
        "initializer_range": 0.3,
    }
    images = {**size, "intermediate_size": 64, "image_size": 32, "patch_size": 16}
    config = library.CLIPConfig(text_config=texts, vision_config=images, projection_dim=20)
    library.CLIPModel(config).save_pretrained(folder)
    write_json(folder / "preprocessor_config.json", {"image_processor_type": "CLIPImageProcessor"})
    return folder


def layered(folder: Path) -> Path:
    """The model as sentence-transformers saved clip-ViT-B-32."""
    whole = folder.parent / "clip-ViT"
    shutil.copytree(folder, whole / "0_CLIPModel")
    module = {"idx": 0, "name": "0", "path": "0_CLIPModel"}
    write_json(
        whole / "modules.json", [{**module, "type": "sentence_transformers.models.CLIPModel"}]
    )
    return whole


@pytest.mark.slow
@pytest.mark.parametrize("eos", [2, None])
def test_texts_are_embedded_as_by_sentence_transformers(tmp_path: Path, eos: int | None) -> None:
    folder = layered(write(tmp_path / "clip", eos))
    exported = pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))
    manifest = Manifest.read(exported)
    certificate = manifest.certificates[0]
    assert is_proved("embedding", "float32", certificate)
    assert certificate.reference == "sentence-transformers"
    assert (manifest.dimensions, manifest.max_input_length) == (20, 24)
    probes = Probes.read(exported / PROBES_FILE).take(60)
    texts = [*probes.texts]
    source = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    expected = source.encode(texts, batch_size=1, normalize_embeddings=True)
    lengths = np.linalg.norm(probes.vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(probes.vectors / lengths, expected, rtol=0, atol=1e-5)


def test_a_text_that_spells_the_end_token_ends_there(tmp_path: Path) -> None:
    from export.reference.clip_text import TextEncoder

    folder = write(tmp_path / "clip")
    model = library.CLIPModel.from_pretrained(folder).eval()
    tokens = library.AutoTokenizer.from_pretrained(folder)(
        ["a", f"a {END} b and more"], padding=True, return_tensors="pt"
    )
    with torch.inference_mode():
        states = TextEncoder(model)(**tokens).last_hidden_state
        expected = model.get_text_features(**tokens)
    last = tokens["attention_mask"].sum(dim=1) - 1
    np.testing.assert_allclose(states[torch.arange(2), last], expected, atol=1e-6)


def test_the_texts_side_alone_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip")
    whole = checkpoints.read(folder)
    config = json.loads((folder / "config.json").read_text())
    alone = {**config["text_config"], "projection_dim": 20, "model_type": "clip_text_model"}
    write_json(folder / "config.json", {**alone, "architectures": ["CLIPTextModelWithProjection"]})
    found = checkpoints.read(folder)
    for one in (whole, found):
        assert (one.dimensions, one.max_input_length, one.pooling) == (20, 24, "last_token")


def test_another_pooling_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "clip")
    with pytest.raises(ExportError, match=r"^CLIP pools by the end token, .* and in no other way"):
        checkpoints.read(folder, "mean")
