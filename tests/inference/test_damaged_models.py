"""Folders whose files are changed, damaged or of something else: one line, and no start."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from app.errors import StartupError
from app.model import untrusted
from app.model.manifest import Manifest
from app.proof.probes import Probes
from tests.support.loading import load_folder
from tools import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.build(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("model.onnx", "is not the file that was exported"),
        ("model.onnx.data", "is not the file that was exported"),
        ("tokenizer.json", "is not the file that was exported"),
        ("probes.npz", "is not the file that was exported"),
        ("manifest.json", "is not as it was exported"),
    ],
)
def test_one_changed_byte_does_not_start_and_its_file_is_named(
    folder: Path, name: str, fault: str
) -> None:
    content = bytearray((folder / name).read_bytes())
    place = (
        content.index(b'"dimensions": 16') + 14 if name == "manifest.json" else len(content) // 2
    )
    content[place] ^= 3
    (folder / name).write_bytes(content)
    with pytest.raises(StartupError) as caught:
        load_folder(folder)
    assert str(caught.value).startswith(f"{folder / name} {fault}")


def test_probes_of_another_width_do_not_start(folder: Path) -> None:
    probes = Probes.read(folder / "probes.npz")
    replace(probes, vectors=probes.vectors[:, :5]).write(folder / "probes.npz")
    tiny.seal(folder, Manifest.read(folder))
    with pytest.raises(StartupError, match=r"probes\.npz holds answers of 5 values, the manifest"):
        load_folder(folder)


def test_answers_for_tokens_of_another_width_do_not_start(tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path, whole=True)
    probes = Probes.read(tmp_path / "probes.npz")
    answers = {name: np.tile(one, 2) for name, one in probes.token_answers.items() if one.ndim == 2}
    wide = replace(probes, token_answers={**probes.token_answers, **answers})
    wide.write(tmp_path / "probes.npz")
    tiny.seal(tmp_path, manifest)
    with pytest.raises(StartupError, match=r"probes\.npz holds multi_vector_embedding of shape"):
        load_folder(tmp_path)


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def of_something_else(content: bytes) -> bytes:
    del content
    return b"\x80\x04\n\n\xff" * 10


@pytest.mark.parametrize("name", ["model.onnx", "model.onnx.data", "tokenizer.json", "probes.npz"])
@pytest.mark.parametrize("damage", [cut, of_something_else])
def test_files_that_were_exported_damaged_are_one_line(
    folder: Path, name: str, damage: Callable[[bytes], bytes], capfd: pytest.CaptureFixture[str]
) -> None:
    """The folder's author wrote its digests, too."""
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    tiny.seal(folder, Manifest.read(folder))
    with pytest.raises(StartupError) as refusal:
        load_folder(folder)
    assert str(refusal.value).startswith(str(folder / name.removesuffix(".data")))
    assert "\n" not in str(refusal.value)
    assert capfd.readouterr().out == ""


def of_opset_99(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def with_an_operator_of_its_own(model: onnx.ModelProto) -> None:
    model.opset_import.append(onnx.helper.make_opsetid("of.nobody", 1))
    model.graph.node[0].domain = "of.nobody"


def with_weights_in(location: str) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "location":
                    entry.value = location

    return change


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (of_opset_99, "Opset 99 is under development"),
        (with_an_operator_of_its_own, "is not a registered function/op"),
        (with_weights_in("absent.bin"), "path does not exist"),
        (with_weights_in("../secret"), "escapes model directory"),
        (with_weights_in("link"), "escapes model directory"),
        (with_weights_in("/proc/self/mem"), "Absolute path not allowed"),
    ],
)
def test_a_graph_that_asks_for_too_much_is_one_line(
    tmp_path: Path, change: Callable[[onnx.ModelProto], None], fault: str
) -> None:
    """The folder's author wrote its digests, too; its weights would fit into memory."""
    folder = tmp_path / "model"
    manifest = tiny.build(folder)
    shutil.copy(folder / "model.onnx.data", tmp_path / "secret")
    (folder / "link").symlink_to("../secret")
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    change(model)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    tiny.seal(folder, manifest)
    with pytest.raises(StartupError) as refusal:
        load_folder(folder)
    assert str(refusal.value).startswith(f"{folder / 'model.onnx'} cannot be loaded: ")
    assert fault in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_tokenizer_larger_than_any_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(untrusted, "MOST_TOKENIZER", 100)
    with pytest.raises(StartupError, match=r"tokenizer\.json cannot be loaded: it is larger than"):
        load_folder(folder)


def test_changed_files_do_not_start(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(StartupError, match=r"tokenizer\.json is not the file that was exported"):
        load_folder(folder)
