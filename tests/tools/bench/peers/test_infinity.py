"""The bench's peer infinity: messages where it is missing or does not start."""

import sys
from pathlib import Path

import pytest

from tools.bench.peers.infinity import infinity, missing


@pytest.mark.parametrize("python", [Path(sys.executable), Path("no/such/python")])
def test_a_python_without_infinity_is_named_with_the_remedy(python: Path) -> None:
    fault = missing(python)
    assert fault is not None
    assert fault.startswith(f"{python} has no infinity: pip install 'infinity-emb[")


def test_an_infinity_that_ends_at_once_is_not_waited_for(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="infinity does not start"),
        infinity(Path(sys.executable), tmp_path),
    ):
        pass
