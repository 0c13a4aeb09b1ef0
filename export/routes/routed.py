"""Routed: the files of a model with several routes, or of a static one.

There is a graph for each route, and there are probes for every name that chooses one. A graph
always runs as a whole, so one graph for all routes would compute every encoder for every input.
"""

import importlib.metadata
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
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
from export.checkpoint import tokenizer_file
from export.checkpoint.read import Checkpoint
from export.checkpoint.routers import Router
from export.errors import ExportError
from export.folder.describe import Made, exact
from export.folder.fingerprint import fingerprint
from export.from_torch import originals
from export.graph import assemble, heads
from export.precision import cpu, trial
from export.progress import Steps, clocked
from export.routes import model2vec, reference, route_files
from export.routes.route_files import Side
from export.source.locate import Located
from export.weights import tensors, weight_files

_TOOLS = ("torch", "transformers", "sentence-transformers")
_UNASKED = 8  # probes without a name


def make(router: Router, located: Located, steps: Steps, folder: Path) -> Made:
    """Write graphs, tokenizer and probes to `folder`.

    Raises: ExportError naming what cannot be exported.
    """
    with TemporaryDirectory() as scratch:
        every = route_files.read(router, located.folder, Path(scratch))
        primary = next(side for side in every if side.way == router.primary)
        found = primary.checkpoint
        asked = _asked(router, every)
        steps.begin(f"running the original model over {len(asked)} probe texts")
        probes = _probes(located.folder, every, asked)
        _require_width(probes, found)
        probes.write(folder / PROBES_FILE)
        steps.begin(f"converting {' and '.join(side.way.name for side in every)} to ONNX")
        with clocked("converting"):
            routes, graphs = _write_graphs(every, primary, probes, folder)
        tokenizer_file.write(found.tokenizer, folder / TOKENIZER_FILE, lower_case=found.lower_case)
        digest = _fingerprint(router, every)
    return Made(
        located.id,
        located.revision,
        found,
        graphs=graphs,
        fingerprint=digest,
        reference="model2vec" if router.primary.is_model2vec else "sentence-transformers",
        tools={name: importlib.metadata.version(name) for name in _TOOLS},
        routes=routes,
        default_route=router.default,
    )


def _probes(folder: Path, sides: Sequence[Side], asked: Sequence[tuple[str, str]]) -> Probes:
    """Return the answers of the model's own library to the probes."""
    static = sides[0].static
    if static is not None and sides[0].way.is_model2vec:
        return model2vec.compute(static, [text for _, text in asked])
    places = [one for side in sides if (one := side.checkpoint.places) is not None]
    task = sides[0].checkpoint.task  # the same for each
    return reference.compute(folder, task, asked, places=min(places, default=None))


def _asked(router: Router, sides: Sequence[Side]) -> list[tuple[str, str]]:
    """Return the names and texts of the probes, grouped by name: a start replays a few of each."""
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
    """Write a graph for each route, and return the routes and the primary one's graphs."""
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
    """Write the finished graph of a side, and return its inputs and outputs."""
    found, static = side.checkpoint, side.static
    if static is not None and static.is_sparse:
        return static.write_sparse(folder)
    bare = folder / "bare"
    graph = originals.bare(found, bare) if static is None else static.write_bare(bare)
    weights = tensors.load(found.layers)
    return heads.finish(graph, folder, found.task, found.head or found.splade, weights)


def _apart(graph: Graph, output: str, scratch: Path, target: Path, name: str) -> Graph:
    """Write the graph under a name of its own, with one output of that name."""
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
    """Make the graph for the CPU provider, whose attention is fused, if it can be made."""
    if side.static is not None:
        return []
    names = {*side.way.asked_as, ""}
    own = found.at([place for place, name in enumerate(found.names) if name in names])
    source = trial.Model(target, graph, side.checkpoint.padding, side.checkpoint.task, own)
    made = cpu.make(source)
    return [] if made is None else [made]


def _fingerprint(router: Router, sides: Sequence[Side]) -> str:
    """Return the fingerprint of the vector space: each route's own, and which inputs take it."""
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
