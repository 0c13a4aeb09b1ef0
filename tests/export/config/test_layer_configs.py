"""config.json of a layer: read in order, or refused by name."""

from pathlib import Path
from typing import Any

import pytest

from export.config import sentence_modules
from export.config.layers import Dense, LayerNorm, Normalize
from export.errors import ExportError
from tests.support.modules import NEW, OLD, put, write


@pytest.mark.parametrize("prefix", ["old", "new"])
def test_layers_are_read_in_order_and_the_last_normalize_is_the_requests(
    tmp_path: Path, prefix: str
) -> None:
    names = ("Transformer", "Pooling", "Dense", "Dropout", "Normalize", "LayerNorm", "Normalize")
    types = [NEW.get(name, OLD + name) if prefix == "new" else OLD + name for name in names]
    folder = write(tmp_path, {"pooling_mode": "mean"}, *types)
    dense = {"in_features": 8, "out_features": 4, "bias": False}
    activation = {"activation_function": "torch.nn.modules.activation.GELU"}
    put(folder / "2_Dense/config.json", dense | activation)
    put(folder / "5_LayerNorm/config.json", {"dimension": 4})
    modules = sentence_modules.read(folder)
    assert modules.normalize
    assert modules.layers == (
        Dense(folder / "2_Dense", 8, 4, bias=False, activation="GELU"),
        Normalize(),
        LayerNorm(folder / "5_LayerNorm", 4),
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "2_Dense/config.json is missing"),
        ({"out_features": 4}, "no usable `in_features`"),
        ({"in_features": 8, "out_features": 0}, "no usable `out_features`"),
        (
            {"activation_function": "torch.nn.Hardswish"},
            "activation_function torch.nn.Hardswish is",
        ),
        ({"activation_function": "evil.Tanh"}, "activation_function evil.Tanh is not supported"),
        ({"module_input_name": "token_embeddings"}, "module_input_name 'token_embeddings' is not"),
    ],
)
def test_dense_that_cannot_be_honoured_is_refused(
    tmp_path: Path, config: dict[str, Any] | None, message: str
) -> None:
    types = [OLD + name for name in ("Transformer", "Pooling", "Dense")]
    folder = write(tmp_path, {"pooling_mode": "mean"}, *types)
    sizes = {} if config and "out_features" in config else {"in_features": 8, "out_features": 4}
    if config is not None:
        put(folder / "2_Dense/config.json", sizes | config)
    with pytest.raises(ExportError, match=message):
        sentence_modules.read(folder)
