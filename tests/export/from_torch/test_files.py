"""Files: all of a folder but its manifest, from original weights."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from app.proof.probes import Probes
from export.checkpoint import read as checkpoints
from export.config.layers import Layer, Weights
from export.from_torch import files
from export.from_torch.originals import Wanted
from export.progress import Steps
from export.source.locate import Located
from export.weights import tensors


@pytest.mark.slow
def test_a_folder_gets_its_files_and_the_layers_are_loaded_once(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = shutil.copytree(bert, tmp_path / "model")
    torch.save(torch.nn.Linear(32, 1).state_dict(), checkpoint / "sparse_linear.pt")
    loaded: list[int] = []
    load = tensors.load

    def counted(layers: Sequence[Layer]) -> Weights:
        loaded.append(len(layers))
        return load(layers)

    monkeypatch.setattr(tensors, "load", counted)
    steps, folder = Steps(6, done=2), tmp_path / "made"
    folder.mkdir()
    located = Located(checkpoint, "org/model", "abc")
    made = files.make(Wanted(located, checkpoints.read(checkpoint)), (), steps, folder)
    assert (steps.done, loaded) == (4, [1])
    assert {path.name for path in folder.iterdir()} == {
        *(graph.file for graph in made.graphs),
        *("model.onnx.data", "probes.npz", "tokenizer.json"),
    }
    assert (made.id, made.revision, made.reference) == ("org/model", "abc", "sentence-transformers")
    assert "lexical_weights" in made.graphs[0].outputs
    assert set(made.tools) >= {"torch", "transformers", "onnx"}
    assert len(Probes.read(folder / "probes.npz")) >= 500
    assert json.loads((folder / "tokenizer.json").read_text())
