"""Layer configurations: a layer behind the pooling, as its `config.json` describes it."""

from collections.abc import Mapping
from pathlib import Path

from export.config.documents import Document
from export.config.layers import ACTIVATIONS, Activation, Dense, Layer, LayerNorm, Normalize
from export.errors import ExportError

KINDS = ("Dense", "LayerNorm", "Normalize")
# What a layer may read and write, by key; without the key it is the vector of a whole text.
Places = Mapping[str, frozenset[str | None]]
_SENTENCE: frozenset[str | None] = frozenset({None, "sentence_embedding"})
_TOKENS: frozenset[str | None] = frozenset({"token_embeddings"})
OF_SENTENCE: Places = {"module_input_name": _SENTENCE, "module_output_name": _SENTENCE}
OF_TOKENS: Places = {"module_input_name": _TOKENS, "module_output_name": _TOKENS | {None}}
# PyLate's layers always work on tokens, even if their files have sentence-transformers' defaults.
ANYWHERE: Places = dict.fromkeys(OF_TOKENS, _SENTENCE | _TOKENS)
_WIDEST = 1 << 20  # more values than any vector has


def read_layer(folder: Path, kind: str, places: Places = OF_SENTENCE) -> Layer:
    """Read the layer that a folder of the checkpoint describes; it must work on one of `places`.

    Raises: ExportError naming the file and what in it is missing or not supported.
    """
    path = folder / "config.json"
    config = Document.read(path)
    if kind == "Normalize" and not config:  # versions before 6 write none
        return Normalize()
    if not config:
        raise ExportError(f"{path} is missing: fetch the model again")
    if kind == "LayerNorm":
        return LayerNorm(folder, _width(config, path, "dimension"))
    for name in ("module_input_name", "module_output_name"):
        place = config.value(name, str)
        if place not in places[name]:
            raise ExportError(f"{path}: a {kind} layer with {name} {place!r} is not supported")
    if kind == "Normalize":
        return Normalize()
    bias = config.value("bias", bool)
    return Dense(
        folder,
        _width(config, path, "in_features"),
        _width(config, path, "out_features"),
        bias=bias is not False,
        activation=_activation(config, path),
        residual=config.value("use_residual", bool) is True,
    )


def _width(config: Document, path: Path, key: str) -> int:
    found = config.value(key, int)
    if found is None or not 0 < found <= _WIDEST:
        raise ExportError(f"{path} has no usable `{key}`: fetch the model again")
    return found


def _activation(config: Document, path: Path) -> Activation:
    stated = config.value("activation_function", str)
    if stated is None:
        return "Tanh"
    for activation in ACTIVATIONS:
        if stated.startswith("torch.") and stated.rpartition(".")[2] == activation:
            return activation
    raise ExportError(
        f"{path}: activation_function {stated} is not supported, only torch's "
        f"{', '.join(ACTIVATIONS)}: choose another model"
    )
