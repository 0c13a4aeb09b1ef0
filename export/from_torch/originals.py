"""Originals: the answers of a checkpoint's own model to the probes, and its bare graph.

This part of an export needs torch and transformers. The other environment runs it alone, as
`python -m export --originals`.
"""

import argparse
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.model.manifest import PROBES_FILE
from app.model.names import Reference
from export import probe_texts
from export.checkpoint import read as checkpoints
from export.checkpoint.kinds import CHOICES, chosen
from export.checkpoint.read import Checkpoint
from export.config.layers import Weights
from export.from_torch import other_environment, trace
from export.progress import Steps, clocked
from export.reference import oracle, original
from export.reference.chats import Chat
from export.reference.original import Loading
from export.source.locate import Located
from export.weights import tensors

_TOOLS = ("torch", "transformers", "sentence-transformers", "optimum", "optimum-onnx", "onnx")
_BARE = "bare"
_NOTES_FILE = "notes.json"  # from one environment to the other


@dataclass(frozen=True, slots=True)
class Wanted:
    """A checkpoint as it was found and read, and whether code that it brings may run."""

    located: Located
    checkpoint: Checkpoint
    trust_code: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Originals:
    """A bare graph in a folder of its own, and how it was made; the probes are written beside."""

    graph: Path
    tools: dict[str, str]  # their versions
    reference: Reference  # whose answers the probes hold
    weights: Weights  # of the layers behind the encoder
    chat: Chat  # how a reranker reads a pair
    code: tuple[str, ...] = ()  # digests of a model's own Python files


def make(wanted: Wanted, folder: Path, steps: Steps) -> Originals:
    """Write the probes to `folder`, and the graph below it, here or in the other environment.

    Raises: ExportError if no environment here implements the model, with the remedy; or if the
    model cannot be run or converted.
    """
    if not other_environment.is_needed(wanted.checkpoint, trust_code=wanted.trust_code):
        return _make_here(wanted, folder, steps)
    root = wanted.located.folder.resolve()
    arguments = ["--originals", str(root), "--into", str(folder.resolve())]
    arguments += ["--steps", str(steps), "--id", wanted.located.id]
    arguments += ["--with-tokenizer", str(wanted.checkpoint.tokenizer.resolve())]
    other_environment.run(arguments, wanted.checkpoint)
    bare = folder / _BARE
    notes = json.loads((bare / _NOTES_FILE).read_bytes())
    steps.done = notes["done"]
    return Originals(
        bare / "model.onnx",
        notes["tools"],
        notes["reference"],
        tensors.load(wanted.checkpoint.layers),
        Chat.read(bare),
    )


def main(arguments: Sequence[str]) -> None:
    """Run this step alone, from the command line of a subprocess, and leave notes for its parent.

    Raises: ExportError as `make` does; SystemExit with status 2 for a usage error.
    """
    parser = argparse.ArgumentParser(prog="python -m export", allow_abbrev=False)
    parser.add_argument("--originals", type=Path, required=True, metavar="CHECKPOINT")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--steps", type=Steps.parse, required=True, metavar="DONE/COUNT")
    parser.add_argument("--pooling", choices=CHOICES)
    parser.add_argument("--with-tokenizer", type=Path, metavar="FILE")
    parser.add_argument("--id", default="")
    found = parser.parse_args(arguments)
    checkpoint = checkpoints.read(
        found.originals, chosen(found.pooling), found.id, tokenizer=found.with_tokenizer
    )
    located = Located(found.originals, found.id, None)
    made = make(Wanted(located, checkpoint), found.into, found.steps)
    notes = {"tools": made.tools, "reference": made.reference, "done": found.steps.done}
    made.graph.with_name(_NOTES_FILE).write_text(json.dumps(notes))
    made.chat.write(made.graph.parent)


def bare(checkpoint: Checkpoint, folder: Path) -> Path:
    """Write the bare graph of a checkpoint that transformers implements here to a new folder.

    Raises: ExportError with the converter's own message.
    """
    return _convert(checkpoint, folder, trust_code=False)


def _make_here(wanted: Wanted, folder: Path, steps: Steps) -> Originals:
    checkpoint = wanted.checkpoint
    trusted = wanted.trust_code and checkpoint.brings_code
    texts = probe_texts.for_task(checkpoint.task, checkpoint.max_input_length)
    steps.begin(f"asking the original model {len(texts)} probe texts")
    code = original.examine(checkpoint, trust_code=trusted)
    weights = tensors.load(checkpoint.layers)
    loading = Loading(wanted.located.folder, checkpoint.choice, trusted)
    told = oracle.ask(loading, checkpoint, texts, weights)
    told.probes.write(folder / PROBES_FILE)
    steps.begin(f"converting {checkpoint.architecture} to ONNX")
    with clocked("converting"):
        graph = _convert(checkpoint, folder / _BARE, trust_code=trusted)
    return Originals(graph, _versions(), told.by, weights, told.chat, code)


def _convert(checkpoint: Checkpoint, folder: Path, *, trust_code: bool) -> Path:
    """Write the bare graph, through optimum if it knows the architecture."""
    # optimum reads config.json itself, and assumes two labels if it names none.
    native = original.is_native(checkpoint)
    if other_environment.HAS_OPTIMUM and native and not checkpoint.counts_labels:
        from export.from_torch import convert

        if convert.knows(checkpoint):
            return convert.convert(checkpoint.folder, folder, checkpoint.converted_as)
    _, model = original.load(checkpoint, trust_code=trust_code, eager=True)
    return trace.trace(model, checkpoint, folder)


def _versions() -> dict[str, str]:
    """Return the versions of the tools that are installed here."""
    here = {one.name: one.version for one in importlib.metadata.distributions()}
    return {name: here[name] for name in _TOOLS if name in here}
