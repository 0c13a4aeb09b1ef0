"""The number of labels in the weights of a classifier."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from export.errors import ExportError
from export.weights import label_rows


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("classifier.weight", (3, 8), 3),
        ("score.weight", (1, 8), 1),
        ("classifier.out_proj.weight", (5, 8), 5),
        ("classifier.bias", (3,), None),
        ("classifier.weight", (3,), None),
    ],
)
def test_a_row_of_the_last_layer_is_a_label(
    tmp_path: Path, name: str, shape: tuple[int, ...], count: int | None
) -> None:
    tensors = {"encoder.weight": np.zeros((8, 8), np.float32), name: np.zeros(shape, np.float32)}
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert label_rows.count(tmp_path) == count


def test_without_weights_the_number_is_unknown(tmp_path: Path) -> None:
    assert label_rows.count(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"{]"])
def test_weights_that_cannot_be_read_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(ExportError, match=r"model\.safetensors cannot be read"):
        label_rows.count(tmp_path)
