"""The OpenVINO plug-in, for tests on processors that its own devices reject."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from app.inference.providers import machine
from tools import processor
from tools.process import ROOT
from tools.processor.sitecustomize import CPUINFO, WITHOUT_OPENVINO

_SOURCE = Path(__file__).with_name("any_vendor.c")
_FIND = "from app.inference.providers import openvino; print(openvino.find().fault or '')"


class Unavailable(Exception):
    """The plug-in cannot be used here; the message says why."""


def environment(folder: Path) -> dict[str, str]:
    """Return the environment variables that give a process OpenVINO's CPU device.

    Raises: Unavailable.
    """
    if processor.NAME in WITHOUT_OPENVINO:
        raise Unavailable(f"with PROCESSOR={processor.NAME} OpenVINO is not found")
    if importlib.util.find_spec("onnxruntime_ep_openvino") is None:
        raise Unavailable("the OpenVINO plug-in is not installed: it is for x86-64 only")
    fault = ask(_FIND)
    if not fault:
        return {}
    compiler = shutil.which("cc")
    if compiler is None:
        raise Unavailable(f"{fault}; a C compiler (cc) would make what the tests need to go on")
    return {"PYTHONPATH": str(_for_any_vendor(compiler, folder))}


def no_bfloat16() -> str | None:
    """Return why nothing here computes in bfloat16: the processor cannot, or PROCESSOR hides it."""
    if os.environ.get("PROCESSOR", "bf16") not in {"", "bf16"}:
        return "PROCESSOR names a processor without bfloat16"
    if machine.computes_bfloat16(CPUINFO):  # though bf16 may only be pretended
        return None
    return "this processor has neither amx_bf16 nor avx512_bf16"


def ask(program: str) -> str:
    """Return what a Python program prints, in its own process: plug-ins stay registered."""
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
