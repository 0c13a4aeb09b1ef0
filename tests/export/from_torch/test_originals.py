"""Originals: models that optimum cannot convert, by their own code or environment."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.model.manifest import PROBES_FILE, Manifest
from app.proof.bounds import WORST_COSINE, is_proved
from app.proof.probes import Probes
from export import pipeline
from export.cli import Request
from export.errors import ExportError
from export.from_torch import other_environment
from export.reference import original
from tests.support.tiny_checkpoints import write_json
from tools.models import checkpoints
from tools.models.tiny_models import TINY_MODELS

# The exporter uses functions that torch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

CONFIGURATION = """
from transformers import PretrainedConfig


class TinyConfig(PretrainedConfig):
    model_type = "tiny-of-its-own"
"""
MODEL = """
from pathlib import Path

import torch
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from .configuration_tiny import TinyConfig

Path(__file__).with_name("it-ran").touch()


class TinyModel(PreTrainedModel):
    config_class = TinyConfig

    def __init__(self, config):
        super().__init__(config)
        self.table = torch.nn.Embedding(config.vocab_size, config.hidden_size)
        self.post_init()

    def _init_weights(self, module):
        pass

    def forward(self, input_ids, attention_mask):
        return BaseModelOutput(last_hidden_state=torch.tanh(self.table(input_ids)))
"""


@pytest.fixture
def with_code(bert: Path, tmp_path: Path) -> Path:
    """A checkpoint whose model is implemented beside its weights."""
    import torch
    from safetensors.torch import save_file

    folder = shutil.copytree(bert, tmp_path / "tiny-of-its-own")
    (folder / "configuration_tiny.py").write_text(CONFIGURATION)
    (folder / "modeling_tiny.py").write_text(MODEL)
    config = {
        "architectures": ["TinyModel"],
        "model_type": "tiny-of-its-own",
        "auto_map": {
            "AutoConfig": "configuration_tiny.TinyConfig",
            "AutoModel": "modeling_tiny.TinyModel",
        },
        "hidden_size": 32,
        "vocab_size": json.loads((folder / "config.json").read_text())["vocab_size"],
        "max_position_embeddings": 32,
    }
    write_json(folder / "config.json", config)
    tokenizer = json.loads((folder / "tokenizer_config.json").read_text())
    names = {"model_input_names": ["input_ids", "attention_mask"]}
    write_json(folder / "tokenizer_config.json", tokenizer | names)
    table = torch.randn(config["vocab_size"], 32)
    save_file({"table.weight": table}, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the second environment of this machine."""
    monkeypatch.setattr(other_environment, "PYTHON", tmp_path / "nothing")


def renamed(bert: Path, tmp_path: Path, **config: Any) -> Path:
    folder = shutil.copytree(bert, tmp_path / "checkpoint")
    path = folder / "config.json"
    write_json(path, json.loads(path.read_text()) | config)
    return folder


@pytest.mark.usefixtures("alone")
def test_an_unknown_architecture_is_refused_with_the_command_that_may_help(
    bert: Path, tmp_path: Path
) -> None:
    folder = renamed(bert, tmp_path, model_type="bert-of-tomorrow", architectures=["SomeModel"])
    with pytest.raises(
        ExportError,
        match=r"^architecture SomeModel \(model_type 'bert-of-tomorrow'\) is not implemented by "
        r"transformers 4\.57\.6: run `make setup-transformers5` for a newer one, and export again$",
    ):
        pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))


@pytest.mark.usefixtures("alone")
def test_code_of_a_repository_is_not_run_unless_asked(with_code: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"read the code .* and let it run by --trust-remote-code"
    ):
        pipeline.export(Request(str(with_code), models_dir=tmp_path / "models"))


@pytest.mark.slow
def test_code_of_a_repository_runs_where_it_is_trusted(
    with_code: Path, tmp_path: Path, start_export: Callable[..., subprocess.Popen[str]]
) -> None:
    models_dir = tmp_path / "models"
    child = start_export(
        with_code, "--models-dir", models_dir, "--trust-remote-code", HF_HOME=str(tmp_path / "hub")
    )
    printed, told = child.communicate(timeout=300)
    assert child.returncode == 0, told
    assert "converting TinyModel to ONNX" in printed
    manifest = Manifest.read(models_dir / "tiny-of-its-own")
    assert manifest.certificates[0].worst_cosine >= WORST_COSINE["float32"]
    assert list((tmp_path / "hub").rglob("it-ran")), "the model was not the repository's own"


@pytest.mark.slow
def test_other_code_is_another_vector_space(with_code: Path, tmp_path: Path) -> None:
    def fingerprint(change: tuple[str, str]) -> str:
        (with_code / "modeling_tiny.py").write_text(MODEL.replace(*change))
        wanted = Request(str(with_code), models_dir=tmp_path / "models", trust_code=True)
        return Manifest.read(pipeline.export(wanted)).fingerprint

    first, other = fingerprint(("", "")), fingerprint(("torch.tanh", "torch.sin"))
    assert first != other
    assert fingerprint(("", "")) == first


@pytest.mark.slow
def test_a_class_of_transformers_is_taken_though_the_repository_has_code(
    bert: Path, tmp_path: Path
) -> None:
    folder = renamed(bert, tmp_path, auto_map={"AutoModel": "absent.BertModel"})
    exported = pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))
    assert Manifest.read(exported).certificates[0].worst_cosine >= WORST_COSINE["float32"]


def test_another_model_under_the_name_of_one_of_transformers_is_refused(
    bert: Path, tmp_path: Path
) -> None:
    folder = renamed(bert, tmp_path, num_hidden_layers=1, auto_map={"AutoModel": "x.BertModel"})
    with pytest.raises(ExportError, match=r"does not use encoder\.layer\.1\S+ and 15 more"):
        pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["t5-mean-dense", "t5-whole-mean"])
def test_the_encoder_of_an_encoder_decoder_equals_sentence_transformers(
    tmp_path: Path, name: str
) -> None:
    from sentence_transformers import SentenceTransformer

    [model] = [one for one in TINY_MODELS if one.name == name]
    folder = checkpoints.write(model, tmp_path / name)
    exported = pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))
    assert Manifest.read(exported).certificates[0].worst_cosine >= WORST_COSINE["float32"]
    probes = Probes.read(exported / PROBES_FILE).take(40)
    source = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    expected = source.encode(list(probes.texts), batch_size=1)
    lengths = np.linalg.norm(probes.vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(probes.vectors / lengths, expected, rtol=0, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("side", ["left", "right"])
def test_a_decoder_classifies_by_its_last_token_that_is_no_padding(
    tmp_path: Path, side: str
) -> None:
    [model] = [one for one in TINY_MODELS if one.name == "qwen2-classifier"]
    ends_in_padding = replace(model, tokenizer="qwen")  # whose end token is also its padding
    folder = checkpoints.write(ends_in_padding, tmp_path / "decoder", side)
    exported = pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))
    manifest = Manifest.read(exported)
    assert manifest.padding.side == side
    assert is_proved("classifier", "float32", manifest.certificates[0])


@pytest.mark.slow
def test_models_not_implemented_here_go_to_the_other_environment(
    bert: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "export")
    monkeypatch.setattr(other_environment, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(original, "is_native", lambda _: False)  # in this process, not in the child
    exported = pipeline.export(
        Request(str(bert), models_dir=tmp_path / "models", pooling="last_token")
    )
    here = [line[:5] for line in caplog.messages if line.startswith("[")]
    assert here == ["[1/6]", "[2/6]", "[5/6]", "[6/6]"]
    there = [line[:5] for line in capfd.readouterr().out.splitlines() if line.startswith("[")]
    assert there == ["[3/6]", "[4/6]"]
    manifest = Manifest.read(exported)
    assert manifest.pooling == "last_token"
    assert manifest.certificates[0].worst_cosine >= WORST_COSINE["float32"]
    assert manifest.tools["transformers"] == "4.57.6"
    manifest.verify_files(exported)
    assert not (exported / "bare").exists()


@pytest.mark.slow
def test_a_refusal_of_the_other_environment_is_repeated(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_environment, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(original, "is_native", lambda _: False)
    folder = renamed(bert, tmp_path, num_hidden_layers=3)
    with pytest.raises(ExportError, match=r"^the weights lack encoder\.layer\.2"):
        pipeline.export(Request(str(folder), models_dir=tmp_path / "models"))
