"""The processor that tests and their processes see with PROCESSOR."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.inference.providers import machine
from tools import processor
from tools.openvino import plugin
from tools.process import ROOT
from tools.processor.sitecustomize import CPUINFO

FOLDER = Path(processor.__file__).parent
ASK = (
    "from app.inference.providers import machine, openvino; found = openvino.find(); "
    "print(machine.computes_bfloat16(), found.bfloat16, found.device is not None)"
)
ASK_OPERATORS = "from app.operators import library; print(library.fault())"


def run(name: str, program: str, *paths: object) -> subprocess.CompletedProcess[str]:
    """Return the output of a Python program that sees another processor."""
    path = os.pathsep.join(map(str, (FOLDER, *paths)))
    environment = {**os.environ, "PROCESSOR": name, "PYTHONPATH": path}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def any_vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the plug-in offers a device on this machine."""
    if processor.NAME:
        pytest.skip("this run sees one already")
    folder = tmp_path_factory.mktemp("plugin")
    try:
        plugin.environment(folder)
    except plugin.Unavailable as reason:
        pytest.skip(str(reason))
    return folder


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("plain", "False False False"),
        ("avx2", "False False False"),
        ("vnni", "False False True"),
        ("bf16", "True True True"),
    ],
)
def test_each_processor_is_seen(any_vendor: Path, name: str, found: str) -> None:
    told = run(name, ASK, any_vendor)
    assert (told.stdout, told.stderr) == (f"{found}\n", "")


def test_a_plain_one_has_no_operators_of_int16() -> None:
    assert run("plain", ASK_OPERATORS).stdout.startswith("the operators are not built: ")
    assert run("avx2", ASK_OPERATORS).stdout == run("bf16", ASK_OPERATORS).stdout


def test_what_the_processor_lacks_is_not_claimed_of_its_arithmetic() -> None:
    told = run(
        "vnni", "from app.inference.providers import machine; print(machine.sums_bytes_exactly())"
    )
    assert told.stdout == f"{machine.sums_bytes_exactly(CPUINFO)}\n"


@pytest.mark.slow
def test_tests_that_would_not_see_it_do_not_run() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", __file__]
    environment = {**os.environ, "PROCESSOR": "bf16", "PYTHONPATH": ""}
    told = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert told.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: PROCESSOR=bf16 is for `make test`" in told.stderr


def test_child_processes_see_it_even_with_a_path_of_their_own(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys; from tools.process import variables; subprocess.run("
        "[sys.executable, '-c', 'from app.inference.providers import machine; print(machine.describe())'], "
        f"env=variables({{'PYTHONPATH': {str(tmp_path)!r}}}))"
    )
    assert "seen as bf16 amx_bf16" in run("bf16", program).stdout
