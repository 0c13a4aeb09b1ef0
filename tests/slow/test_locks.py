"""The locked versions exist for each processor and Python; `make lock` pins each file's hash."""

import subprocess
import sys
from pathlib import Path

import pytest

from tools.process import ROOT

pytestmark = pytest.mark.slow

UV = Path(sys.executable).with_name("uv")


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
@pytest.mark.parametrize("lock", ["cpu", "gpu", "export"])
def test_there_is_a_wheel_of_everything(
    tmp_path: Path, lock: str, processor: str, python: str
) -> None:
    """The index is asked, and nothing is downloaded."""
    done = subprocess.run(
        [
            UV,
            *("pip", "install", "--dry-run", "--quiet", "--target", tmp_path),
            *("--no-deps", "--require-hashes", "--only-binary", ":all:"),
            *("--python-platform", f"{processor}-manylinux_2_36", "--python-version", python),
            *("--requirements", ROOT / "requirements" / f"{lock}.lock"),
        ],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
