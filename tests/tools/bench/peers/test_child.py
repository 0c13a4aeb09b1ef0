"""Libraries beside ours: processes that are asked line by line."""

from pathlib import Path

import numpy as np
import pytest

from tools.bench.peers.child import Child, child

ECHO = "tests.tools.bench.peers.echo"


def test_a_child_gives_vectors_and_says_how_fast_it_was(tmp_path: Path) -> None:
    with child(ECHO, tmp_path) as library:
        assert np.array_equal(library.vectors(["a", "bcd"]), [[1.0], [3.0]])
        rate = library.rate(["a", "b", "c", "d"], 2, 0.01)
    assert rate.texts >= 2
    assert rate.texts % 2 == 0
    assert rate.median is not None
    assert library.process.poll() is not None


def test_a_child_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    library = Child("no.such.module", tmp_path)
    with pytest.raises((RuntimeError, BrokenPipeError)):
        library.vectors(["a"])
