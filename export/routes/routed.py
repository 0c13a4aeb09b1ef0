"""Routed: the files of a model with several ways through it, or a static one.

There is a graph for each route, and there are probes for every name that chooses one.

A graph is run whole, whatever is fetched of it, so one graph for all routes would compute every
encoder for every input.
"""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
from onnx import helper

from app.model.manifest import PROBES_FILE, TOKENIZER_FILE
from app.model.names import TASK_OUTPUTS
from app.model.parts import Graph, GraphNames, Route
from app.proof.probes import Probes
from export import probe_texts
from export.checkpoint import read, routers, tokenizer_file
from export.checkpoint.read import Checkpoint
from export.checkpoint.routers import Router, Way
from export.config.documents import read_json
from export.config.layers import Normalize
from export.errors import ExportError
from export.folder.describe import exact
from export.folder.fingerprint import fingerprint
from export.from_torch import originals, settled_tokenizer
from export.graph import assemble, heads
from export.precision import cpu, trial
from export.progress import announce
from export.reference import original
from export.routes import reference, static_models
from export.routes.static_models import StaticModel
from export.weights import tensors, weight_files

_UNASKED = 8  # probes without a name


@dataclass(frozen=True, slots=True)
class Side:
    """A route with what its files say of it."""

    way: Way
    checkpoint: Checkpoint
    static: StaticModel | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What a manifest needs to know of the files that were made."""

    checkpoint: Checkpoint  # of the primary route
    graphs: tuple[Graph, ...]  # of the primary route
    routes: tuple[Route, ...]
    fingerprint: str


def make(router: Router, folder: Path, target: Path) -> Made:
    """Write graphs, tokenizer and probes of the checkpoint in `folder` to `target`.

    Raises: ExportError naming what of it cannot be exported.
    """
    with TemporaryDirectory() as scratch:
        unfolded = [
            routers.unfold(way, folder, Path(scratch) / str(place))
            for place, way in enumerate(router.ways)
        ]
        sides = _alike([_read(*one) for one in zip(router.ways, unfolded, strict=True)])
        primary = next(side for side in sides if side.way == router.primary)
        names = {side.way.name: side for side in sides}
        asked = _asked(router, sides)
        announce(3, f"running the original model over {len(asked)} probe texts")
        places = [one for side in sides if (one := side.checkpoint.places) is not None]
        found = reference.compute(
            folder, primary.checkpoint.task, asked, places=min(places, default=None)
        )
        _require_width(found, primary.checkpoint)
        found.write(target / PROBES_FILE)
        announce(4, f"converting {' and '.join(names)} to ONNX")
        routes, graphs = _write_graphs(sides, primary, found, target)
        tokenizer_file.write(
            primary.checkpoint.tokenizer,
            target / TOKENIZER_FILE,
            lower_case=primary.checkpoint.lower_case,
        )
        digest = _fingerprint(router, sides)
    return Made(primary.checkpoint, graphs, routes, digest)


def _read(way: Way, folder: Path) -> Side:
    made = folder.with_suffix(".tokenizer.json")
    if way.is_static:
        static = static_models.read(way, folder)
        if static.is_sparse:  # what the library loads with transformers
            settled_tokenizer.settle(static.checkpoint, made)
        tokenizer = made if made.is_file() else static.checkpoint.tokenizer
        return Side(way, replace(static.checkpoint, tokenizer=tokenizer), static)
    found = read.read(folder)
    if not original.is_native(found):
        raise ExportError(
            f"route {way.name}: architecture {found.architecture} (model_type "
            f"{found.model_type!r}) is not implemented here by transformers, and code that a model "
            "with routes brings is not run: choose another model"
        )
    settled_tokenizer.settle(found, made)
    if made.is_file():
        found = read.read(folder, tokenizer=made)
    if found.task not in {"embedding", "splade"}:
        raise ExportError(f"route {way.name} is a {found.task} model, which is not supported")
    if found.leaves_out_prompts:
        raise ExportError(f"route {way.name} leaves prompts out of its pooling: not supported")
    return Side(way, found)


def _alike(sides: Sequence[Side]) -> list[Side]:
    """The sides, once it is sure that they belong into one model.

    Raises: ExportError naming what differs.
    """
    first, *others = sides
    for other in others:
        names = f"the routes {first.way.name} and {other.way.name}"
        left, right = first.checkpoint, other.checkpoint
        facts = {
            "kinds of vectors": (left.task, right.task),
            "numbers of dimensions": (left.dimensions, right.dimensions),
            "sides on which texts are cut": (left.truncation_side, right.truncation_side),
            "ways of lower-casing": (left.lower_case, right.lower_case),
            "tokenizers": (_tokenizer(left.tokenizer), _tokenizer(right.tokenizer)),
        }
        if first.static is None and other.static is None:
            facts["ways of padding"] = (left.padding, right.padding)
        for what, (one, two) in facts.items():
            if one != two:
                raise ExportError(
                    f"{names} have different {what}: not supported, choose another model"
                )
    if all(side.checkpoint.normalize for side in sides):
        return list(sides)
    return [_with_normalize(side) for side in sides]


def _with_normalize(side: Side) -> Side:
    """The side with a Normalize at its end in the graph, since not all routes end in one."""
    found = side.checkpoint
    if not found.normalize or found.head is None:
        return side
    head = replace(found.head, layers=(*found.head.layers, Normalize()))
    return replace(side, checkpoint=replace(found, head=head, normalize=False))


def _tokenizer(path: Path) -> object:
    """A tokenizer without how it happened to cut and pad when it was saved."""
    content = read_json(path)
    assert isinstance(content, dict)
    return {key: one for key, one in content.items() if key not in {"truncation", "padding"}}


def _asked(router: Router, sides: Sequence[Side]) -> list[tuple[str, str]]:
    """The names and texts of the probes, those of a name together: a start replays a few of all."""
    found: list[tuple[str, str]] = []
    for side in sides:
        task, length = side.checkpoint.task, side.checkpoint.max_input_length
        texts = probe_texts.for_task(task, length, prose=0)
        singles = [text for text in texts if isinstance(text, str)]
        found += [(name, text) for name in side.way.asked_as for text in singles]
        if side.way.name == router.default:
            found += [("", text) for text in (singles[:_UNASKED] if side.way.asked_as else singles)]
    return found


def _require_width(found: Probes, primary: Checkpoint) -> None:
    if found.vectors.shape[1] != primary.dimensions:
        raise ExportError(
            f"the model yields {found.vectors.shape[1]} values where its files state "
            f"{primary.dimensions}: its parts do not belong together"
        )


def _write_graphs(
    sides: Sequence[Side], primary: Side, found: Probes, target: Path
) -> tuple[tuple[Route, ...], tuple[Graph, ...]]:
    """The routes with their graphs, and those of the primary one."""
    routes, graphs = [], []
    for place, side in enumerate(sides):
        scratch = target / f"route-{place}"
        scratch.mkdir()
        own = replace(exact(_finish(side, scratch)), providers=("cpu",))
        output = TASK_OUTPUTS[side.checkpoint.task]
        graph = None
        if side is primary:
            for path in [one for one in scratch.iterdir() if one.is_file()]:
                path.rename(target / path.name)
            graphs = [own, *_fused(side, own, found, target)]
        else:
            graph = _apart(own, output, scratch, target, f"{output}_{place}")
            [output] = graph.outputs
        shutil.rmtree(scratch)
        length, special = side.checkpoint.max_input_length, side.static is None
        way = side.way
        routes.append(Route(way.name, way.asked_as, output, length, special, graph))
    return tuple(routes), tuple(graphs)


def _finish(side: Side, folder: Path) -> GraphNames:
    """Write the finished graph of a side; its inputs and outputs."""
    found, static = side.checkpoint, side.static
    if static is not None and static.is_sparse:
        return static.write_sparse(folder)
    bare = folder / "bare"
    graph = originals.bare(found, bare) if static is None else static.write_bare(bare)
    weights = tensors.load(found.layers)
    return heads.finish(graph, folder, found.task, found.head or found.splade, weights)


def _apart(graph: Graph, output: str, scratch: Path, target: Path, name: str) -> Graph:
    """The graph under a name of its own, with one output of a name of its own."""
    model = onnx.load(scratch / graph.file)
    [kept] = [one for one in model.graph.output if one.name == output]
    kept.name = name
    del model.graph.output[:]
    model.graph.output.append(kept)
    model.graph.node.append(helper.make_node("Identity", [output], [name]))
    file = f"{name}.onnx"
    assemble.save(model, target, file)
    return replace(graph, file=file, outputs=(name,))


def _fused(side: Side, graph: Graph, found: Probes, target: Path) -> list[Graph]:
    """The graph whose attention holds no scores where no row is padded, if there is one."""
    if side.static is not None:
        return []
    names = {*side.way.asked_as, ""}
    own = found.at([place for place, name in enumerate(found.names) if name in names])
    source = trial.Model(target, graph, side.checkpoint.padding, side.checkpoint.task, own)
    made = cpu.make(source)
    return [] if made is None else [made]


def _fingerprint(router: Router, sides: Sequence[Side]) -> str:
    """Of the vector space: each route's own, and what takes which."""
    parts = []
    for side in sides:
        folder = side.checkpoint.folder
        weights = (
            weight_files.of_encoder(folder)
            if side.static is None
            else [weight_files.of_layer(folder)]
        )
        digest = fingerprint(weights, side.checkpoint.tokenizer, side.checkpoint)
        parts.append([side.way.name, side.way.asked_as, side.checkpoint.normalize, digest])
    return sha256(json.dumps([parts, router.default]).encode()).hexdigest()
