"""Sentence modules: what `modules.json` puts behind the encoder, as far as it is supported.

Module types are `sentence_transformers.models.Pooling` in older checkpoints and
`sentence_transformers.sentence_transformer.modules.pooling.Pooling` in newer ones: the last
part names the class in both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Self

from app.inference.manifest import Pooling
from export.documents import Document, read_json
from export.errors import ExportError

_DENSE = ("Transformer", "Pooling", "Normalize")
_SPARSE = ("Transformer", "SpladePooling")
_MASKED_ENCODER = "MLMTransformer"  # a Transformer that keeps the head for masked words
_SUPPORTED = frozenset({*_DENSE, *_SPARSE, _MASKED_ENCODER})
_POOLINGS: Mapping[str, Pooling] = MappingProxyType(
    {"cls": "cls", "mean": "mean", "lasttoken": "last_token"}
)
# Before sentence-transformers 5.3 each mode was a flag of its own.
_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens": "weightedmean",
        "pooling_mode_lasttoken": "lasttoken",
    }
)


@dataclass(frozen=True, slots=True)
class Splade:
    """How a SpladePooling makes one sparse vector of the logits, in the checkpoint's words."""

    strategy: str
    activation: str


@dataclass(frozen=True, slots=True)
class SentenceModules:
    """Pooling modes as the checkpoint names them, and what surrounds them."""

    pooling_modes: tuple[str, ...]  # more than one: concatenated; none: the checkpoint is silent
    include_prompt: bool
    normalize: bool
    splade: Splade | None = None

    @classmethod
    def silent(cls) -> Self:
        """What a checkpoint without any modules says."""
        return cls((), include_prompt=True, normalize=False)

    def pooling(self) -> Pooling | None:
        """The one pooling of the checkpoint; None where it does not say.

        Raises: ExportError naming a mode, or several, that cannot be exported.
        """
        if not self.pooling_modes:
            return None
        if len(self.pooling_modes) == 1 and self.pooling_modes[0] in _POOLINGS:
            return _POOLINGS[self.pooling_modes[0]]
        raise ExportError(
            f"pooling {' + '.join(self.pooling_modes)} is not supported, only one of "
            f"{', '.join(_POOLINGS)}: choose another model, or override it with --pooling"
        )

    def check_splade(self) -> None:
        """Refuse a SpladePooling that cannot be exported; none at all means the usual one.

        Raises: ExportError naming the strategy or the activation.
        """
        if self.splade is None:
            return
        if self.splade.strategy != "max":
            raise ExportError(
                f"SpladePooling with pooling_strategy {self.splade.strategy} is not supported, "
                "only max: choose another model"
            )
        if self.splade.activation != "relu":
            raise ExportError(
                f"SpladePooling with activation_function {self.splade.activation} is not "
                "supported, only relu: choose another model"
            )


def read(folder: Path) -> SentenceModules:
    """Read `modules.json` and the pooling's configuration; both may be absent.

    Raises: ExportError naming the module type that cannot be exported.
    """
    entries = read_json(folder / "modules.json")
    if entries is None:
        return _with_pooling(folder / "1_Pooling", normalize=False)
    paths = _paths(entries, folder / "modules.json")
    if paths.get("Transformer", ""):
        raise ExportError(
            f"{folder / 'modules.json'}: the encoder lies in {paths['Transformer']!r}; only "
            "checkpoints with the encoder at the top are supported: move its files there"
        )
    if "SpladePooling" in paths:
        splade = _read_splade(folder / paths["SpladePooling"])
        return replace(SentenceModules.silent(), splade=splade)
    if "Pooling" not in paths:
        return replace(SentenceModules.silent(), normalize="Normalize" in paths)
    return _with_pooling(folder / paths["Pooling"], normalize="Normalize" in paths)


def _paths(entries: Any, path: Path) -> dict[str, str]:
    """Class name → folder of each module, once they are known to be a supported sequence."""
    paths: dict[str, str] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        match entry:
            case {"type": str(kind), "path": str(place)}:
                name = kind.rpartition(".")[2]
            case _:
                raise ExportError(f"{path}: {entry!r} is not a module with a type and a path")
        if not kind.startswith("sentence_transformers.") or name not in _SUPPORTED:
            raise ExportError(
                f"sentence-transformers module {kind} is not supported, only "
                f"{', '.join((*_DENSE, _SPARSE[-1]))}: choose another model"
            )
        if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts:
            raise ExportError(f"{path}: {place!r} leads out of the checkpoint")
        paths["Transformer" if name == _MASKED_ENCODER else name] = place
    order = tuple(name for name in _DENSE if name in paths)
    if tuple(paths) not in {order, _SPARSE} or len(paths) != len(entries) or not paths:
        raise ExportError(
            f"{path}: modules must be {', then '.join(_DENSE)}, each once, or "
            f"{', then '.join(_SPARSE)}"
        )
    return paths


def _read_splade(folder: Path) -> Splade:
    config = Document.read(folder / "config.json")
    return Splade(
        strategy=config.value("pooling_strategy", str) or "max",
        activation=config.value("activation_function", str) or "relu",
    )


def _with_pooling(folder: Path, *, normalize: bool) -> SentenceModules:
    config = Document.read(folder / "config.json")
    modes = config.texts("pooling_mode") or [
        mode for flag, mode in _FLAGS.items() if config.value(flag, bool)
    ]
    include_prompt = config.value("include_prompt", bool) is not False
    return SentenceModules(tuple(modes), include_prompt, normalize)
