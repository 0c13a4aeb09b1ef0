"""Files: everything in an exported folder but its manifest, made from original weights."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from app.model.manifest import TOKENIZER_FILE
from app.model.names import Dtype
from app.model.parts import GraphNames
from export.checkpoint import tokenizer_file
from export.checkpoint.read import Checkpoint
from export.folder.describe import Made
from export.folder.fingerprint import fingerprint
from export.from_torch import originals
from export.from_torch.originals import Originals, Wanted
from export.graph import heads
from export.precision import precisions
from export.progress import Steps
from export.weights import weight_files


def make(wanted: Wanted, dtypes: Sequence[Dtype], steps: Steps, folder: Path) -> Made:
    """Write graphs, weights, tokenizer and probes to `folder`.

    `dtypes` get a graph beside the float32 one.

    Raises: ExportError naming what cannot be exported.
    """
    located, checkpoint = wanted.located, wanted.checkpoint
    weights = located.weights or weight_files.of_encoder(checkpoint.folder)
    found = originals.make(wanted, folder, steps)
    checkpoint = checkpoint.reading(found.chat.pair_text, found.chat.answers)
    names = _finish(found, checkpoint, folder)
    tokenizer_file.write(
        checkpoint.tokenizer, folder / TOKENIZER_FILE, lower_case=checkpoint.lower_case
    )
    digest = fingerprint(weights, checkpoint.tokenizer, checkpoint, found.code)
    return Made(
        located.id,
        located.revision,
        checkpoint,
        graphs=precisions.make(folder, names, dtypes, checkpoint, digest),
        fingerprint=digest,
        reference=found.reference,
        tools=found.tools,
    )


def _finish(found: Originals, checkpoint: Checkpoint, folder: Path) -> GraphNames:
    """Write the graph with its heads, remove the bare one, and return its inputs and outputs."""
    if found.chat.column is not None:
        names = heads.score(found.graph, folder, found.chat.column)
    else:
        head = checkpoint.head or checkpoint.splade
        names = heads.finish(
            found.graph, folder, checkpoint.task, head, found.weights, checkpoint.tokens
        )
    shutil.rmtree(found.graph.parent)
    return names
