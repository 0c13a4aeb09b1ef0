"""Reading: a checkpoint's files are read once, and again only when they were rewritten."""

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from export import reading
from export.checkpoint import read as checkpoints
from export.cli import Request
from export.source.locate import Located
from tests.export.from_torch.test_adapter import write_adapter
from tests.export.from_torch.test_settled_tokenizer import configure, without_file


@pytest.fixture
def folder(bert: Path, tmp_path: Path) -> Path:
    return shutil.copytree(bert, tmp_path / "model")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders that have been read."""
    found: list[Path] = []
    read = checkpoints.read

    def counted(folder: Path, *given: Any, **named: Any) -> checkpoints.Checkpoint:
        found.append(folder)
        return read(folder, *given, **named)

    monkeypatch.setattr(checkpoints, "read", counted)
    return found


def located(folder: Path) -> Located:
    return Located(folder, "model", None)


def test_a_checkpoint_with_a_complete_tokenizer_is_read_once(
    folder: Path, reads: list[Path]
) -> None:
    with reading.read(located(folder), Request(str(folder))) as (place, found):
        assert place == located(folder)
        assert found.tokenizer == folder / "tokenizer.json"
    assert reads == [folder]


def test_a_made_tokenizer_lasts_as_long_as_its_reading(folder: Path, reads: list[Path]) -> None:
    configure(folder, mask_token="[UNK]", do_lower_case=False)  # noqa: S106  # no password
    without_file(folder)
    with reading.read(located(folder), Request(str(folder))) as (_, found):
        assert found.tokenizer.is_file()
        assert found == checkpoints.read(folder, tokenizer=found.tokenizer)
    assert not found.tokenizer.exists()
    assert reads == [folder] * 3  # the last here


def test_an_adapter_makes_a_checkpoint_of_its_own(
    folder: Path, tmp_path: Path, reads: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    write_adapter(folder, "query", 1)
    (models := tmp_path / "models").mkdir()
    wanted = Request(str(folder), models_dir=models, adapter="query")
    with caplog.at_level(logging.WARNING, "export"):
        with reading.read(located(folder), wanted) as (place, found):
            assert (place.id, place.folder.parent.parent) == ("model_query", models)
            assert (found.folder, found.dimensions) == (place.folder, 32)
            names = [path.name for path in place.weights]
        assert names == ["model.safetensors", "adapter_model.safetensors", "adapter_config.json"]
        assert list(models.iterdir()) == []
        assert reads == [folder, place.folder]
        assert caplog.messages == []
        with reading.read(located(folder), Request(str(folder))):
            assert "without its adapters: name one of query by --adapter" in caplog.text
