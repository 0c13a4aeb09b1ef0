"""Routers: the modules for each kind of input, in checkpoints that embed queries differently.

sentence-transformers saves them in `router_config.json`, and earlier (`Asym`) in `config.json`. A
model that begins with a token table in place of an encoder counts as a router with one route.
"""

import ast
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from export.config import model2vec
from export.config.documents import Document, read_json
from export.errors import ExportError

CONFIG_FILE = "router_config.json"
# Files of a repository that other checkpoints do not have. Folders are named by route.
DESCRIPTIONS = (CONFIG_FILE, "*_[0-9]*_*/*.json", "*_[0-9]*_*/*.txt", "*_[0-9]*_*/*.model")
WEIGHTS = ("*_[0-9]*_*/model.safetensors", "*_[0-9]*_*/pytorch_model.bin")

STATIC = frozenset({"StaticEmbedding", "SparseStaticEmbedding"})
_ROUTERS = frozenset({"Router", "Asym"})
_PARAMETERS = frozenset({"default_route", "allow_empty_key", "route_mappings"})
_TASKS = ("query", "document")  # of `encode_query` and `encode_document`
_MODALITY = "text"
_SETTINGS = "config_sentence_transformers.json"
# The task and the modality that a route is for; None for any.
_Key = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Module:
    """One module: its full type, and its folder below the checkpoint."""

    kind: str
    path: str

    @property
    def name(self) -> str:
        """The name of the class, with which the type ends."""
        return self.kind.rpartition(".")[2]


MODEL2VEC = Module("model2vec.StaticModel", "")


@dataclass(frozen=True, slots=True)
class Way:
    """The modules of a route, including those behind the router."""

    name: str
    asked_as: tuple[str, ...]  # the tasks that take it
    modules: tuple[Module, ...]

    @property
    def is_static(self) -> bool:
        """True if it begins with a token table in place of an encoder."""
        return self.modules[0].name in STATIC or self.is_model2vec

    @property
    def is_model2vec(self) -> bool:
        """True if it is a static model in Model2Vec's own layout."""
        return self.modules[0] == MODEL2VEC


@dataclass(frozen=True, slots=True)
class Router:
    """Every route that a text can take; the default is for texts without a task."""

    ways: tuple[Way, ...]
    default: str | None

    @property
    def primary(self) -> Way:
        """The route of the model's own graph."""
        return next((way for way in self.ways if way.name == self.default), self.ways[-1])


def read(folder: Path) -> Router | None:
    """Return the router that a checkpoint begins with; None for any other checkpoint.

    Raises: ExportError naming the file and what in it cannot be understood.
    """
    if model2vec.is_there(folder):
        return Router((Way("model2vec", (), (MODEL2VEC,)),), "model2vec")
    path = folder / "modules.json"
    entries = read_json(path)
    match entries:
        case [{"type": str(kind), "path": str()}, *_]:
            name = kind.rpartition(".")[2]
        case _:
            return None
    if not kind.startswith("sentence_transformers.") or name not in _ROUTERS | STATIC:
        return None
    first, *behind = (_module(one, path) for one in entries)
    if first.name in STATIC:
        return Router((Way("static", (), (first, *behind)),), "static")
    return _routed(folder, first, behind)


def unfold(way: Way, checkpoint: Path, into: Path) -> Path:
    """Link the modules of a route into `into`, as a checkpoint of its own, and return it."""
    into.mkdir()
    entries = []
    for place, module in enumerate(way.modules):
        link = f"{place}_{module.name}"
        entries.append({"idx": place, "name": str(place), "type": module.kind, "path": link})
        if (checkpoint / module.path).is_dir():  # a Normalize has no files
            (into / link).symlink_to((checkpoint / module.path).resolve())
    (into / "modules.json").write_text(json.dumps(entries))
    if (checkpoint / _SETTINGS).is_file():
        (into / _SETTINGS).symlink_to((checkpoint / _SETTINGS).resolve())
    return into


def _routed(folder: Path, router: Module, behind: Sequence[Module]) -> Router:
    path = folder / router.path / CONFIG_FILE
    if not path.is_file():
        path = path.with_name("config.json")
    config = Document.read(path)
    types = config.value("types", dict) or {}
    structure = config.value("structure", dict) or {}
    parameters = config.value("parameters", dict) or {}
    if not structure:
        raise ExportError(
            f"{path.with_name(CONFIG_FILE)} is missing, or describes no routes: fetch the model "
            "again"
        )
    if unknown := sorted(set(parameters) - _PARAMETERS):
        raise ExportError(f"{path}: parameter {unknown[0]} is not supported: choose another model")
    chosen, default = _choices(structure, parameters, path)
    ways = []
    for name, ids in structure.items():
        tasks = tuple(task for task, route in chosen.items() if route == name)
        if tasks or name == default:
            own = [_of_route(one, types, router, path) for one in ids]
            if not own:
                raise ExportError(f"{path}: route {name} has no modules: fetch the model again")
            ways.append(Way(name, tasks, (*own, *behind)))
    return Router(tuple(ways), default)


def _choices(
    structure: Mapping[str, Any], parameters: Mapping[str, Any], path: Path
) -> tuple[dict[str, str], str | None]:
    """Return the route of each task and of inputs without one, by sentence-transformers' rules."""
    mappings = _mappings(parameters.get("route_mappings") or {}, path)
    for route in (*mappings.values(), parameters.get("default_route")):
        if route is not None and route not in structure:
            raise ExportError(f"{path}: {route!r} is not one of its routes")
    tasks = dict.fromkeys((*_TASKS, *structure, *(str(key[0]) for key in mappings if key[0])))
    found = {task: _resolved(task, structure, mappings) for task in tasks}
    default = _resolved(None, structure, mappings) or parameters.get("default_route")
    if default is None and parameters.get("allow_empty_key", True):
        default = next(iter(structure))
    return {task: route for task, route in found.items() if route is not None}, default


def _resolved(
    task: str | None, structure: Mapping[str, Any], mappings: Mapping[_Key, str]
) -> str | None:
    """Find the route of a text as the library's `Router._resolve_route_name` does."""
    for key in ((task, _MODALITY), (task, None), (None, _MODALITY), (None, None)):
        if key in mappings:
            return mappings[key]
    return next((name for name in (task, _MODALITY) if name in structure), None)


def _mappings(stored: Mapping[str, Any], path: Path) -> dict[_Key, str]:
    """Parse the keys of the mappings: JSON holds each as the `repr` of a pair."""
    found = {}
    for text, route in stored.items():
        try:
            task, modality = ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError):
            raise ExportError(f"{path}: route_mappings: {text} is not a pair") from None
        found[task, modality] = str(route)
    return found


def _of_route(one: Any, types: Mapping[str, Any], router: Module, path: Path) -> Module:
    kind = types.get(one) if isinstance(one, str) else None
    if not isinstance(kind, str):
        raise ExportError(f"{path}: {one!r} has no type: fetch the model again")
    return _module({"type": kind, "path": str(PurePosixPath(router.path) / one)}, path)


def _module(entry: Any, path: Path) -> Module:
    match entry:
        case {"type": str(kind), "path": str(place)}:
            parts = PurePosixPath(place).parts
            if PurePosixPath(place).is_absolute() or ".." in parts:
                raise ExportError(f"{path}: {place!r} leads out of the checkpoint")
            return Module(kind, place)
    raise ExportError(f"{path}: {entry!r} is not a module with a type and a path")
