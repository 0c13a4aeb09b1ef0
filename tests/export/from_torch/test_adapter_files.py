"""The LoRA adapters of a checkpoint, and the files of their weights."""

from pathlib import Path

import pytest

from export.errors import ExportError
from export.from_torch import adapter_files


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir()
        (folder / name / "adapter_config.json").touch()
    return folder


def test_adapters_are_folders_with_their_configuration(tmp_path: Path) -> None:
    put(tmp_path, "retrieval", "code")
    (tmp_path / "1_Pooling").mkdir()
    assert adapter_files.names(tmp_path) == ["code", "retrieval"]
    adapter_files.check(tmp_path, "code")


@pytest.mark.parametrize(
    ("names", "held"), [((), "it has none"), (("code", "retrieval"), "it has code, retrieval")]
)
def test_one_that_is_not_there_is_refused_with_those_that_are(
    tmp_path: Path, names: tuple[str, ...], held: str
) -> None:
    with pytest.raises(ExportError, match=f"--adapter other: .* has no such adapter: {held}"):
        adapter_files.check(put(tmp_path, *names), "other")


def test_weights_are_those_of_safetensors_first(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"adapter_model\.bin is missing"):
        adapter_files.weights_file(tmp_path)
    (tmp_path / "adapter_model.bin").touch()
    assert adapter_files.weights_file(tmp_path).name == "adapter_model.bin"
    (tmp_path / "adapter_model.safetensors").touch()
    assert adapter_files.weights_file(tmp_path).name == "adapter_model.safetensors"
