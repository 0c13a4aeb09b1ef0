"""The column of a score, on its way to another process."""

from pathlib import Path

import numpy as np

from export.graph.score_column import Column


def test_a_column_survives_its_file(tmp_path: Path) -> None:
    weight = np.array([1.5, -2], np.float32)
    Column(weight, bias=0.25).write(tmp_path / "column.npz")
    found = Column.read(tmp_path / "column.npz")
    np.testing.assert_array_equal(found.weight, weight)
    assert found.bias == 0.25
