"""What an operator reads where CUDA cannot be used; a small library stands for the driver."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.gpu import device
from tests.process import ROOT

_SOURCE = Path(__file__).with_name("driver.c")
_ASK = "from app.inference import nvidia; nvidia.LIBRARIES = {}; print(nvidia.fault({}) or '')"
PRESENT = ("libc.so.6",)


def ask(folder: Path, devices: tuple[int, ...] = (0,), libraries: tuple[str, ...] = PRESENT) -> str:
    """The fault, as found by a process that looks for libraries in the folder first."""
    return subprocess.run(
        [sys.executable, "-c", _ASK.format(libraries, devices)],
        cwd=ROOT,
        env={**os.environ, "LD_LIBRARY_PATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()


def compile_driver(folder: Path, *, status: int = 0, version: int = 13000, count: int = 2) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("a C compiler (cc) is needed for the library that stands for the driver")
    values = (f"-DSTATUS={status}", f"-DVERSION={version}", f"-DCOUNT={count}")
    target = str(folder / "libcuda.so.1")
    subprocess.run([compiler, "-shared", "-fPIC", *values, str(_SOURCE), "-o", target], check=True)


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ({"status": 100}, "the NVIDIA driver shows no device: pass a device to the container"),
        ({"status": 803}, "the NVIDIA driver does not start (cuInit gives 803): see whether"),
        ({"version": 12080}, "the NVIDIA driver is for CUDA 12.8, 13.0 is needed: update"),
        ({"count": 1}, "--device-id 1: the driver shows 1 devices, counted from 0"),
    ],
)
def test_what_the_driver_says_becomes_a_remedy(
    tmp_path: Path, answers: dict[str, int], fault: str
) -> None:
    compile_driver(tmp_path, **answers)
    assert ask(tmp_path, (0, 1)).startswith(fault)


def test_a_file_that_is_no_driver_is_none(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"")
    assert ask(tmp_path).startswith("there is no NVIDIA driver here (")


def test_a_device_and_every_library_are_enough(tmp_path: Path) -> None:
    compile_driver(tmp_path, version=13010)
    assert ask(tmp_path, (1, 0)) == ""


def test_check_and_bench_fail_where_there_is_none() -> None:
    if device.fault() is None:
        pytest.skip("there is a GPU here")
    programs = {
        ("tests.gpu",): "error: no GPU to test on",
        ("tests.gpu.bench", "any"): "error: no GPU to measure on",
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
