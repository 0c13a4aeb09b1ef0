"""The OpenVINO plug-in on this machine; its tests say why they are skipped elsewhere."""

import os
from pathlib import Path

import pytest

from app.operators import library
from tools import processor
from tools.openvino import plugin

PACKAGE = Path(processor.__file__).parent


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment variables that give a process OpenVINO's CPU device."""
    try:
        return plugin.environment(tmp_path_factory.mktemp("plugin"))
    except plugin.Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def bfloat16(environment: dict[str, str]) -> dict[str, str]:
    """The same, on a processor that computes in bfloat16, and not as fast in int16 by tiles."""
    fault = plugin.no_bfloat16()
    if fault:
        pytest.skip(fault)
    if library.best() != library.TILES:
        return environment
    paths = [str(PACKAGE), *filter(None, [environment.get("PYTHONPATH")])]
    return environment | {"PROCESSOR": "bf16", "PYTHONPATH": os.pathsep.join(paths)}
