"""Sentence modules: what `modules.json` puts behind the encoder, described and checked.

Module types are `sentence_transformers.models.Pooling` in older checkpoints and
`sentence_transformers.sentence_transformer.modules.pooling.Pooling` in newer ones: the last
part names the class in both. Defaults are those of sentence-transformers 5.7.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, Self

from app.model.names import PoolingMode
from export.config import logit_score, splade
from export.config.documents import Document, read_json
from export.config.layer_configs import ANYWHERE, KINDS, OF_TOKENS, read_layer
from export.config.layers import POOLING_MODES, Layer, Normalize
from export.config.logit_score import LogitScore
from export.config.splade import Splade
from export.errors import ExportError

# The second keeps the head of a masked language model; the third is CLIP's name for the first.
_ENCODERS = frozenset({"Transformer", "MLMTransformer", "CLIPModel"})
_JINA = "custom_st.Transformer"  # of jina-embeddings-v3, whose adapters a request chooses from
_PYLATE = "pylate.models."  # saves ColBERT models in sentence-transformers' layout
_IGNORED = frozenset({"Dropout"})  # active in training only
_SUPPORTED = ("Transformer", "Pooling", *KINDS, "SpladePooling", "LogitScore")
# In the order in which several are concatenated; later versions have a list of names instead.
_FLAGS: Mapping[str, PoolingMode] = MappingProxyType(
    {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_max_tokens": "max",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens": "weightedmean",
        "pooling_mode_lasttoken": "last_token",
    }
)


@dataclass(frozen=True, slots=True)
class SentenceModules:
    """The pooling modes of a checkpoint, and what surrounds them."""

    poolings: tuple[PoolingMode, ...]  # more than one: concatenated; none: the checkpoint is silent
    include_prompt: bool
    normalize: bool  # whether a Normalize is the last; a request may override it
    layers: tuple[Layer, ...] = ()  # between the pooling and a last Normalize
    encoder: str = ""  # the folder of the encoder's files, below the checkpoint
    splade: Splade | None = None
    token_layers: tuple[Layer, ...] = ()  # of a model that has only a vector for each token
    pooling_file: str = ""  # the file that says how to pool, if any does
    logit_score: LogitScore | None = None  # of rerankers that are causal language models

    @classmethod
    def silent(cls) -> Self:
        """Return the modules of a checkpoint that names none."""
        return cls((), include_prompt=True, normalize=False)

    @property
    def says_how_to_pool(self) -> bool:
        """True if the checkpoint itself says how the answer is made from token vectors."""
        return bool(self.poolings or self.token_layers or self.splade)


@dataclass(frozen=True, slots=True)
class _Module:
    """One entry of `modules.json`."""

    kind: str  # the whole type
    path: str

    @property
    def name(self) -> str:
        return self.kind.rpartition(".")[2]


def read(folder: Path) -> SentenceModules:
    """Read `modules.json` and the configurations that it names; all of it may be absent.

    Raises: ExportError naming the module that cannot be exported.
    """
    path = folder / "modules.json"
    entries = read_json(path)
    if entries is None:
        config = Document.read(folder / "1_Pooling" / "config.json")
        alone = replace(SentenceModules.silent(), pooling_file="1_Pooling/config.json")
        return _with_pooling(config, alone) if config else SentenceModules.silent()
    first, *rest = _modules(entries, path)
    if first.name not in _ENCODERS:
        raise ExportError(f"{path}: modules must begin with a Transformer, not {first.kind}")
    rest = [module for module in rest if module.name not in _IGNORED]
    start = replace(SentenceModules.silent(), encoder=first.path, pooling_file="modules.json")
    match [module.name for module in rest]:
        case []:
            return start
        case ["SpladePooling", *others] if set(others) <= {"Normalize"}:
            return replace(start, splade=splade.read(folder / rest[0].path, normalize=bool(others)))
        case ["LogitScore"]:
            return replace(start, logit_score=logit_score.read(folder / rest[0].path))
        case ["Pooling", *_]:
            return _pooled(folder, rest, start)
        case ["Dense", *others] if set(others) <= set(KINDS):
            return replace(start, token_layers=_token_layers(folder, rest))
    raise _misplaced(rest[0], path)


def _pooled(folder: Path, modules: Sequence[_Module], start: SentenceModules) -> SentenceModules:
    """Read a Pooling and the layers behind it."""
    pooling, *rest = modules
    config = Document.read(folder / pooling.path / "config.json")
    if not config:
        raise ExportError(
            f"{folder / pooling.path / 'config.json'} is missing: fetch the model again"
        )
    layers: list[Layer] = []
    for module in rest:
        if module.name not in KINDS:
            raise _misplaced(module, folder / "modules.json")
        layers.append(read_layer(folder / module.path, module.name))
    normalize = bool(layers) and isinstance(layers[-1], Normalize)
    if normalize:
        layers.pop()
    file = f"{pooling.path}/config.json"
    found = replace(start, layers=tuple(layers), normalize=normalize, pooling_file=file)
    return _with_pooling(config, found)


def _token_layers(folder: Path, modules: Sequence[_Module]) -> tuple[Layer, ...]:
    """Read the layers behind an encoder without a Pooling, which has a vector for each token.

    PyLate compares these vectors at unit length, which its files do not say.
    """
    settings = Document.read(folder / "config_sentence_transformers.json")
    is_pylate = settings.value("model_type", str) == "ColBERT" or any(
        module.kind.startswith(_PYLATE) for module in modules
    )
    places = ANYWHERE if is_pylate else OF_TOKENS
    layers = [read_layer(folder / module.path, module.name, places) for module in modules]
    if is_pylate and not isinstance(layers[-1], Normalize):
        layers.append(Normalize())
    return tuple(layers)


def _with_pooling(config: Document, start: SentenceModules) -> SentenceModules:
    names = config.texts("pooling_mode")
    modes = [_mode(name) for name in names] or [
        mode for flag, mode in _FLAGS.items() if config.value(flag, bool)
    ]
    return replace(
        start,
        poolings=tuple(modes) or ("mean",),
        include_prompt=config.value("include_prompt", bool) is not False,
    )


def _mode(name: str) -> PoolingMode:
    for mode in POOLING_MODES:
        if name.replace("lasttoken", "last_token") == mode:
            return mode
    raise ExportError(
        f"pooling {name} is not supported, only {', '.join(POOLING_MODES)}: choose another model, "
        "or override it with --pooling"
    )


def _modules(entries: Any, path: Path) -> list[_Module]:
    """Parse `modules.json`: every type must be known, and every path inside the checkpoint."""
    found: list[_Module] = []
    for entry in entries if isinstance(entries, list) else [entries]:
        match entry:
            case {"type": str(kind), "path": str(place)}:
                module = _Module(kind, place)
            case _:
                raise ExportError(f"{path}: {entry!r} is not a module with a type and a path")
        if module.kind == _JINA:
            raise ExportError(
                f"{path}: module {kind} is code of the repository: export "
                "jinaai/jina-embeddings-v3-hf, the same weights for transformers, by make "
                "setup-transformers5 and --adapter retrieval_query (or another of its adapters)"
            )
        if not _is_supported(module):
            raise ExportError(
                f"{path}: sentence-transformers module {kind} is not supported, only "
                f"{', '.join(_SUPPORTED)}: choose another model"
            )
        if PurePosixPath(place).is_absolute() or ".." in PurePosixPath(place).parts:
            raise ExportError(f"{path}: {place!r} leads out of the checkpoint")
        found.append(module)
    if not found:
        raise ExportError(f"{path} lists no modules: fetch the model again")
    return found


def _is_supported(module: _Module) -> bool:
    if module.kind.startswith(_PYLATE):
        return module.name == "Dense"
    if not module.kind.startswith("sentence_transformers."):
        return False
    return module.name in {*_SUPPORTED, *_ENCODERS, *_IGNORED}


def _misplaced(module: _Module, path: Path) -> ExportError:
    return ExportError(
        f"{path}: module {module.kind} is not supported in its place; modules must be a "
        f"Transformer, then a Pooling or (of ColBERT models) a Dense, then any of "
        f"{', '.join(KINDS)}: choose another model"
    )
