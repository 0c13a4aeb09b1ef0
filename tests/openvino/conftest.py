"""The OpenVINO plug-in on the machine at hand; its tests say why they are skipped elsewhere."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process import ROOT

_SOURCE = Path(__file__).with_name("any_vendor.c")
_FIND = "from app.inference import openvino; print(openvino.find().fault or '')"
_BFLOAT16 = "from app.inference import machine; print(machine.computes_bfloat16() or '')"


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What to add to a process's environment so that it has OpenVINO's CPU device."""
    if importlib.util.find_spec("onnxruntime_ep_openvino") is None:
        pytest.skip("the OpenVINO plug-in is not installed: it is for x86-64 only")
    fault = ask(_FIND)
    if not fault:
        return {}
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip(f"{fault}; a C compiler (cc) would make what the tests need to go on")
    return {"PYTHONPATH": str(_for_any_vendor(compiler, tmp_path_factory.mktemp("plugin")))}


@pytest.fixture(scope="session")
def bfloat16(environment: dict[str, str]) -> dict[str, str]:
    """The same, on a processor that computes in bfloat16."""
    if not ask(_BFLOAT16):
        pytest.skip("this processor has neither amx_bf16 nor avx512_bf16")
    return environment


def ask(program: str) -> str:
    """What a Python program prints, in a process of its own: a plug-in is registered for good."""
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def _for_any_vendor(compiler: str, folder: Path) -> Path:
    """A package of the plug-in's name, with a library that wraps the plug-in's own."""
    import onnxruntime_ep_openvino

    package = folder / "onnxruntime_ep_openvino"
    package.mkdir()
    library = package / "any_vendor.so"
    plugin = onnxruntime_ep_openvino.get_library_path()
    subprocess.run(
        [
            compiler,
            "-shared",
            "-fPIC",
            f'-DPLUGIN="{plugin}"',
            str(_SOURCE),
            "-o",
            str(library),
            "-ldl",
        ],
        check=True,
    )
    (package / "__init__.py").write_text(
        f"def get_library_path() -> str:\n    return {str(library)!r}\n"
    )
    return folder
