"""Files of safetensors, read by NumPy: equal to torch's tensors, or refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from export.errors import ExportError
from export.weights import safetensors_file
from tests.support.snapshot import BIAS, DENSE

SHAPES: dict[str, tuple[int | None, ...]] = {
    "linear.weight": DENSE.shape,
    "linear.bias": BIAS.shape,
}
LINEAR = {"linear.weight": torch.from_numpy(DENSE), "linear.bias": torch.from_numpy(BIAS)}


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_tensors_are_read_as_torch_has_them(tmp_path: Path, kind: torch.dtype) -> None:
    stored = {name: value.to(kind) for name, value in LINEAR.items()}
    save_file(stored, tmp_path / "model.safetensors")
    found = safetensors_file.read(tmp_path / "model.safetensors", SHAPES)
    for name, value in stored.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], value.to(torch.float32).numpy())


def file_with(header: object, values: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged"),
        (b"\xff" * 8, "is damaged"),
        ((99).to_bytes(8, "little") + b"{}", "is damaged"),
        (file_with(b"{"), "is damaged"),
        (file_with([]), "holds nothing instead of x"),
        (file_with({"y": {}}), "holds y instead of x"),
        (file_with({"x": {}}), "x is damaged"),
        (file_with(b"[" * 100_000), "is damaged"),
        (
            file_with({"x": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}}, b"12345678"),
            "x is damaged",
        ),
        (
            file_with({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
            "x is damaged",
        ),
        (
            file_with({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
            "x is damaged",
        ),
        (
            file_with({"x": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}, b"12345678"),
            "x is damaged",
        ),
        (
            file_with({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
            r"x has the shape \(1,\), its config.json says \(2,\)",
        ),
        (
            file_with({"x": {"dtype": "I8", "shape": [2], "data_offsets": [0, 2]}}, b"12"),
            "x is of type I8, only F64, F32, F16, BF16 are read",
        ),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=f"model.safetensors:? {said}"):
        safetensors_file.read(path, {"x": (2,)})
