"""Reading: a checkpoint as it is exported, its adapter and its tokenizer included."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from app.model.manifest import TOKENIZER_FILE
from export.checkpoint import read as checkpoints
from export.checkpoint.read import Checkpoint
from export.cli import Request
from export.from_torch import adapter_files
from export.progress import clocked
from export.source.locate import Located
from export.weights import weight_files

logger = logging.getLogger(__name__)


@contextmanager
def read(located: Located, request: Request) -> Iterator[tuple[Located, Checkpoint]]:
    """Yield a checkpoint's place and facts, with the requested adapter merged and a tokenizer made.

    Files that had to be made exist only within the block.

    Raises: ExportError for a model that cannot be exported, or an adapter that cannot be merged.
    """
    found = checkpoints.read(located.folder, request.pooling, located.id)
    with (
        _adapted(located, found, request) as (located, found),
        _settled(located, found, request) as found,
    ):
        yield located, found


@contextmanager
def _adapted(
    located: Located, found: Checkpoint, request: Request
) -> Iterator[tuple[Located, Checkpoint]]:
    """Yield the checkpoint, or a new one with the requested adapter merged into its weights."""
    if not request.adapter:
        if held := adapter_files.names(found.folder):
            logger.warning(
                "the model is exported without its adapters: name one of %s by --adapter",
                ", ".join(held),
            )
        yield located, found
        return
    adapter_files.check(found.folder, request.adapter)
    from export.from_torch import adapter, other_environment

    with TemporaryDirectory(
        dir=request.models_dir if request.models_dir.is_dir() else None
    ) as scratch:
        made = Path(scratch) / request.adapter
        if other_environment.is_needed(found, trust_code=False):
            arguments = ["--merge", str(located.folder.resolve()), "--adapter", request.adapter]
            other_environment.run([*arguments, "--into", str(made.resolve())], found)
        else:
            adapter.merge(adapter.Merging(located.folder, found, request.adapter), made)
        weights = weight_files.of_encoder(found.folder)
        own = adapter_files.weights_file(found.folder / request.adapter)
        described = own.with_name(adapter_files.CONFIG_FILE)
        merged = Located(
            made, request.exported_as(located.id), located.revision, (*weights, own, described)
        )
        yield merged, checkpoints.read(made, request.pooling, merged.id)


@contextmanager
def _settled(located: Located, found: Checkpoint, request: Request) -> Iterator[Checkpoint]:
    """Yield the checkpoint, with a tokenizer file that transformers made if one was needed."""
    weight_files.of_encoder(found.folder)
    with TemporaryDirectory() as scratch:
        made = Path(scratch) / TOKENIZER_FILE
        with clocked("reading with transformers, slowest the first time"):
            _settle(located, found, made, trust_code=request.trust_code)
        if made.is_file():
            # Prompts, letter case, token heads and warnings depend on the tokenizer file.
            found = checkpoints.read(located.folder, request.pooling, located.id, tokenizer=made)
        yield found


def _settle(located: Located, found: Checkpoint, made: Path, *, trust_code: bool) -> None:
    # transformers takes seconds to import: a checkpoint without weights has been refused by now.
    from export.from_torch import other_environment, settled_tokenizer

    if other_environment.is_needed(found, trust_code=trust_code):
        place = str(located.folder.resolve())
        arguments = ("--tokenizer", place, "--into", str(made), "--id", located.id)
        other_environment.run(arguments, found)
    else:
        settled_tokenizer.settle(found, made, trust_code=trust_code)
