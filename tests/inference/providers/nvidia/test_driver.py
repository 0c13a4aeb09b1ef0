"""Messages for an operator where CUDA cannot be used; a small library stands in for the driver."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

from app.inference.providers.nvidia import driver
from tools.gpu import device
from tools.process import ROOT

_FOLDER = ROOT / "tests/support/nvidia"
_ASK = "from app.inference.providers.nvidia import driver; driver.LIBRARIES = {}; print(driver.fault({}) or '')"
PRESENT = ("libc.so.6",)


def ask(folder: Path, devices: tuple[int, ...] = (0,), libraries: tuple[str, ...] = PRESENT) -> str:
    """Return the fault that a process finds when it looks for libraries in the folder first."""
    return told(folder, _ASK.format(libraries, devices))


def told(folder: Path, program: str) -> str:
    """Return a program's output when it looks for libraries and packages in the folder first."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def compile_library(target: Path, source: str, *values: str) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler (cc) is needed for the libraries that stand for NVIDIA's")
    command = [compiler, "-shared", "-fPIC", *values, str(_FOLDER / source), "-o", str(target)]
    subprocess.run(command, check=True)


def compile_driver(folder: Path, *, status: int = 0, version: int = 13000, count: int = 2) -> None:
    values = (f"-DSTATUS={status}", f"-DVERSION={version}", f"-DCOUNT={count}")
    compile_library(folder / "libcuda.so.1", "driver.c", *values)


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({"status": 100}, "the NVIDIA driver shows no device: pass a device to the container"),
        ({"status": 803}, "the NVIDIA driver does not start (cuInit gives 803): see whether"),
        ({"version": 12080}, "the NVIDIA driver is for CUDA 12.8, 13.0 is needed: update"),
        ({"count": 1}, "--device-id 1: the driver shows 1 devices, counted from 0"),
    ],
)
def test_errors_of_the_driver_become_remedies(
    tmp_path: Path, answers: dict[str, int], fault: str
) -> None:
    compile_driver(tmp_path, **answers)
    assert ask(tmp_path, (0, 1)).startswith(fault)


def test_an_invalid_driver_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"")
    assert ask(tmp_path).startswith("there is no NVIDIA driver here (")


def test_a_device_and_every_library_are_enough(tmp_path: Path) -> None:
    compile_driver(tmp_path, version=13010)
    assert ask(tmp_path, (1, 0)) == ""


def test_check_and_bench_fail_without_a_gpu() -> None:
    if device.fault() is None:
        pytest.skip("there is a GPU here")
    programs = {
        ("tools.gpu",): "error: no GPU to test on",
        ("tools.gpu.bench", "any"): "error: no GPU to measure on",
    }
    for arguments, line in programs.items():
        command = [sys.executable, "-m", *arguments]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ran.returncode == 1
        assert ran.stderr == f"{line}: {device.fault()}\n"


def test_a_missing_library_is_named(tmp_path: Path) -> None:
    compile_driver(tmp_path)
    fault = ask(tmp_path, libraries=(*PRESENT, "libcublas.so.0"))
    assert fault.startswith("a library of CUDA 13 is missing (libcublas.so.0: cannot open")
    assert "install the `gpu` extra" in fault


@pytest.mark.parametrize(
    ("device_id", "name"), [(0, "NVIDIA H100 80GB HBM3 sm_90"), (1, "NVIDIA L4 sm_89")]
)
def test_a_device_is_known_by_its_name_and_its_capability(
    tmp_path: Path, device_id: int, name: str
) -> None:
    compile_driver(tmp_path)
    program = (
        f"from app.inference.providers.nvidia import driver; print(driver.describe({device_id}))"
    )
    assert told(tmp_path, program) == name


def compile_tensorrt(folder: Path) -> None:
    for name in ("libcudnn.so.9", "libnvinfer.so.10", "libnvonnxparser.so.10"):
        compile_library(folder / name, "tensorrt.c", f"-Wl,-soname,{name}")


def test_versions_are_those_of_the_libraries_that_are_loaded(tmp_path: Path) -> None:
    compile_tensorrt(tmp_path)
    compile_library(tmp_path / "libcudart.so.13", "tensorrt.c")
    program = (
        "from app.inference.providers.nvidia import driver, engine; "
        "print(engine.fault(), engine.version(), driver.cuda_version())"
    )
    assert told(tmp_path, program) == "None 10.16.1 13.1"


def test_tensorrt_is_found_in_the_package_that_brings_it(tmp_path: Path) -> None:
    package = tmp_path / "tensorrt_libs"
    package.mkdir()
    (package / "__init__.py").write_text("")
    compile_tensorrt(package)
    (package / "libcudnn.so.9").rename(tmp_path / "libcudnn.so.9")  # it is another package's
    program = (
        "from app.inference.providers.nvidia import engine; print(engine.fault(), engine.version())"
    )
    assert told(tmp_path, program) == "None 10.16.1"


def test_a_missing_library_of_tensorrt_is_named_with_the_package(tmp_path: Path) -> None:
    compile_tensorrt(tmp_path)
    (tmp_path / "libnvonnxparser.so.10").unlink()
    fault = told(
        tmp_path, "from app.inference.providers.nvidia import engine; print(engine.fault())"
    )
    assert fault.startswith("a library of TensorRT 10 is missing (libnvonnxparser.so.10: cannot")
    assert "install 'tensorrt-cu13-libs<11' beside the `gpu` extra" in fault


def test_onnxruntime_s_own_tensorrt_provider_never_falls_back(
    tmp_path: Path, tiny_model: Path
) -> None:
    """The real provider, with libraries that have only the names of NVIDIA's."""
    if "TensorrtExecutionProvider" not in onnxruntime.get_available_providers():
        pytest.skip("onnxruntime-gpu is not installed here: its place is taken by onnxruntime")
    if device.fault() is None:
        pytest.skip("there is a GPU here")
    compile_driver(tmp_path)
    compile_tensorrt(tmp_path)
    for name in driver.LIBRARIES:
        compile_library(tmp_path / name, "tensorrt.c", f"-Wl,-soname,{name}")
    ran = subprocess.run(
        [sys.executable, "-m", "app", "--model-id", str(tiny_model), "--provider", "tensorrt"],
        cwd=ROOT,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 1
    assert "--provider tensorrt: ONNX Runtime could not use it" in ran.stdout + ran.stderr
