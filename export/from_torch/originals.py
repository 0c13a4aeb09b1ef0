"""Originals: the answers of a checkpoint's own model to the probes, and its bare graph.

This is the part of an export that needs torch and transformers. A model that transformers does not
implement here is handed to the environment with transformers 5, which runs this step alone, as
`python -m export --originals`: docs/decisions/0015-transformers-5.md.
"""

import argparse
import importlib.metadata
import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import transformers

from app.model.manifest import PROBES_FILE
from app.model.names import PoolingChoice, Reference
from export import probe_texts
from export.checkpoint import read as checkpoints
from export.checkpoint.kinds import CHOICES, chosen
from export.checkpoint.read import Checkpoint
from export.errors import ExportError
from export.from_torch import trace
from export.progress import announce
from export.reference import original
from export.reference.chats import Chat
from export.reference.original import Loading

_ROOT = Path(__file__).resolve().parents[2]
OTHER_PYTHON = _ROOT / ".venv-transformers5" / "bin" / "python"
# optimum holds transformers below 4.58, so only the first environment has it.
_HAS_OPTIMUM = transformers.__version__.startswith("4.")
_TOOLS = ("torch", "transformers", "sentence-transformers", "optimum", "optimum-onnx", "onnx")
_BARE = "bare"
_NOTES_FILE = "notes.json"  # what one environment tells the other


@dataclass(frozen=True, slots=True)
class Wanted:
    """A checkpoint, what overrides its pooling and tokenizer, and whether its code may run."""

    checkpoint: Path
    pooling: PoolingChoice | None = None
    trust_code: bool = False
    tokenizer: Path | None = None  # in place of its own file
    model_id: str = ""  # which may say what the files do not


@dataclass(frozen=True, slots=True)
class Made:
    """A bare graph in a folder of its own, and what made it."""

    graph: Path
    tools: dict[str, str]  # their versions
    reference: Reference  # whose answers the probes hold
    code: tuple[str, ...] = ()  # digests of the files, of a model that brings its own

    @property
    def chat(self) -> Chat:
        """How a reranker reads a pair."""
        return Chat.read(self.graph.parent)


def parse(arguments: Sequence[str]) -> tuple[Wanted, Path]:
    """Read the command line of the step alone; the folder is where its files go.

    Raises: SystemExit with status 2 for a usage error.
    """
    parser = argparse.ArgumentParser(prog="python -m export", allow_abbrev=False)
    parser.add_argument("--originals", type=Path, required=True, metavar="CHECKPOINT")
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--pooling", choices=CHOICES)
    parser.add_argument("--with-tokenizer", type=Path, metavar="FILE")
    parser.add_argument("--id", default="")
    found = parser.parse_args(arguments)
    wanted = Wanted(
        found.originals,
        chosen(found.pooling),
        tokenizer=found.with_tokenizer,
        model_id=found.id,
    )
    return wanted, found.into


def make(wanted: Wanted, folder: Path) -> Made:
    """Write the probes to `folder`, and the graph below it, here or in the other environment.

    Raises: ExportError for a model that no environment at hand implements, with the remedy.
    """
    checkpoint = checkpoints.read(
        wanted.checkpoint, wanted.pooling, wanted.model_id, tokenizer=wanted.tokenizer
    )
    if runs_here(checkpoint, trust_code=wanted.trust_code):
        trusted = wanted.trust_code and checkpoint.brings_code
        return _make_here(Loading(wanted.checkpoint, wanted.pooling, trusted), checkpoint, folder)
    arguments = ["--originals", str(wanted.checkpoint.resolve()), "--into", str(folder.resolve())]
    arguments += ["--id", wanted.model_id] if wanted.model_id else []
    if wanted.tokenizer is not None:
        arguments += ["--with-tokenizer", str(wanted.tokenizer.resolve())]
    hand_over(arguments, wanted.pooling)
    graph = folder / _BARE / "model.onnx"
    return Made(graph, **json.loads(graph.with_name(_NOTES_FILE).read_bytes()))


def runs_here(checkpoint: Checkpoint, *, trust_code: bool) -> bool:
    """Whether the model is implemented in this environment; else it is in the other one.

    Raises: ExportError for a model that no environment at hand implements, with the remedy.
    """
    if (trust_code and checkpoint.brings_code) or original.is_native(checkpoint):
        return True
    if not _HAS_OPTIMUM or not OTHER_PYTHON.is_file():
        _refuse(checkpoint)
    return False


def _make_here(loading: Loading, checkpoint: Checkpoint, folder: Path) -> Made:
    # sentence-transformers takes seconds to import: what is refused before must not wait for it.
    from export.reference import oracle

    texts = probe_texts.for_task(checkpoint.task, checkpoint.max_input_length)
    announce(3, f"asking the original model {len(texts)} probe texts")
    code = original.examine(checkpoint, trust_code=loading.trust_code)
    told = oracle.ask(loading, checkpoint, texts)
    told.probes.write(folder / PROBES_FILE)
    announce(4, f"converting {checkpoint.architecture} to ONNX")
    graph = _convert(checkpoint, folder / _BARE, trust_code=loading.trust_code)
    told.chat.write(graph.parent)
    made = Made(graph, _versions(), told.by, code)
    notes = {"tools": made.tools, "reference": made.reference}
    graph.with_name(_NOTES_FILE).write_text(json.dumps(notes))
    return made


def bare(checkpoint: Checkpoint, folder: Path) -> Path:
    """The bare graph of a checkpoint that transformers implements here, in a new folder.

    Raises: ExportError with the converter's own words.
    """
    return _convert(checkpoint, folder, trust_code=False)


def _convert(checkpoint: Checkpoint, folder: Path, *, trust_code: bool) -> Path:
    """The bare graph, by optimum where it knows the architecture."""
    # Optimum reads config.json by itself, and counts two labels where it names none.
    if _HAS_OPTIMUM and original.is_native(checkpoint) and not checkpoint.counts_labels:
        from export.from_torch import convert

        if convert.knows(checkpoint):
            return convert.convert(checkpoint.folder, folder, checkpoint.converted_as)
    _, model = original.load(checkpoint, trust_code=trust_code, eager=True)
    return trace.trace(model, checkpoint, folder)


def _versions() -> dict[str, str]:
    """Of what had a hand in it here."""
    here = {one.name: one.version for one in importlib.metadata.distributions()}
    return {name: here[name] for name in _TOOLS if name in here}


def hand_over(arguments: Sequence[str], pooling: PoolingChoice | None) -> None:
    """Have the other environment do a step of the export, which the arguments name.

    Raises: ExportError with its last line when it cannot.
    """
    command = [str(OTHER_PYTHON), "-m", "export", *arguments]
    if pooling is not None:
        command += ["--pooling", pooling.replace("_", "-")]
    child = subprocess.run(  # noqa: S603  # an interpreter of this project, and its own module
        command, cwd=_ROOT, stderr=subprocess.PIPE, text=True, check=False
    )
    if child.returncode != 0:
        told = child.stderr.strip().splitlines() or [f"it exited with {child.returncode}"]
        raise ExportError(told[-1].removeprefix("error: "))


def _refuse(checkpoint: Checkpoint) -> NoReturn:
    """Say what would help: the other environment, or the checkpoint's own code."""
    what = f"architecture {checkpoint.architecture} (model_type {checkpoint.model_type!r})"
    remedies = []
    if _HAS_OPTIMUM:
        remedies.append("run `make setup-transformers5` for a newer one, and export again")
    if checkpoint.brings_code:
        remedies.append(
            "read the code in its repository and let it run by --trust-remote-code "
            "(TRUST_REMOTE_CODE=true)"
        )
    remedy = "; or ".join(remedies) or "choose a model of a supported architecture"
    raise ExportError(
        f"{what} is not implemented by transformers {transformers.__version__}: {remedy}"
    )
