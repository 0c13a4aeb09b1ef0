"""Precisions that this machine serves in, and packages with real models."""

import pytest

from tools.models import real_models
from tools.models.measure import Precision
from tools.openvino import plugin


@pytest.fixture(scope="session")
def precisions(tmp_path_factory: pytest.TempPathFactory) -> list[Precision]:
    """Every precision that this machine can serve; float32 is always one."""
    found = [Precision("float32", ("--provider", "cpu", "--dtype", "float32"), {})]
    if plugin.no_bfloat16() is None:
        try:
            environment = plugin.environment(tmp_path_factory.mktemp("plugin"))
        except plugin.Unavailable:
            return found
        flags = ("--provider", "openvino", "--dtype", "bfloat16")
        found.append(Precision("bfloat16", flags, environment))
    return found


@pytest.fixture(scope="session")
def packages() -> None:
    """The packages with real models, fetched once."""
    real_models.fetch()
