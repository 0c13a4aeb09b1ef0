"""A graph that is not proved yet, run as a proof runs a session."""

from pathlib import Path

import numpy as np
import pytest

from app.model.batch import collate
from app.model.names import SENTENCE_EMBEDDING
from app.model.parts import Padding
from export.precision.cpu_session import CpuSession
from tools import tiny

PADDING = Padding(0, 0, "right")


@pytest.mark.parametrize("fuse", [True, False])
def test_it_yields_the_outputs_that_are_named(tiny_model: Path, fuse: bool) -> None:
    session = CpuSession(tiny_model / "model.onnx", tiny.INPUTS, fuse=fuse)
    inputs = [tiny.encoded("the cat"), tiny.encoded("dog")]
    found = session.run(collate(inputs, PADDING), [SENTENCE_EMBEDDING])
    assert list(found) == [SENTENCE_EMBEDDING]
    expected = [tiny.reference(one.input_ids) for one in inputs]
    np.testing.assert_allclose(found[SENTENCE_EMBEDDING], expected, atol=1e-6)
