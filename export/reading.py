"""Reading: a checkpoint as it is exported, its tokenizer included."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from app.model.manifest import TOKENIZER_FILE
from app.model.names import PoolingChoice
from export.checkpoint import read as checkpoints
from export.checkpoint.read import Checkpoint
from export.cli import Request
from export.from_torch import adapter_files
from export.source.locate import Located
from export.weights import weight_files

logger = logging.getLogger(__name__)


@contextmanager
def adapted(located: Located, request: Request) -> Iterator[Located]:
    """The checkpoint with the adapter in its weights that was asked for, while it is there.

    Raises: ExportError for an adapter that is not there, or cannot be merged.
    """
    found = checkpoints.read(located.folder, request.pooling, located.id)
    if not request.adapter:
        if held := adapter_files.names(found.folder):
            logger.warning(
                "warning: the model is exported without its adapters: name one of %s by --adapter",
                ", ".join(held),
            )
        yield located
        return
    adapter_files.check(found.folder, request.adapter)
    from export.from_torch import adapter, originals

    with TemporaryDirectory(
        dir=request.models_dir if request.models_dir.is_dir() else None
    ) as scratch:
        made = Path(scratch) / request.adapter
        if originals.runs_here(found, trust_code=False):
            adapter.merge(adapter.Merging(located.folder, request.adapter, found.choice), made)
        else:
            arguments = ["--merge", str(located.folder.resolve()), "--adapter", request.adapter]
            originals.hand_over([*arguments, "--into", str(made.resolve())], found.choice)
        weights = weight_files.of_encoder(found.folder)
        own = adapter_files.weights_file(found.folder / request.adapter)
        described = own.with_name(adapter_files.CONFIG_FILE)
        yield Located(
            made, request.exported_as(located.id), located.revision, (*weights, own, described)
        )


@contextmanager
def settled(
    located: Located, choice: PoolingChoice | None, *, trust_code: bool = False
) -> Iterator[Checkpoint]:
    """The checkpoint that was found, for as long as a tokenizer that had to be made is there.

    Raises: ExportError for a model that cannot be exported, with the reason.
    """
    found = checkpoints.read(located.folder, choice, located.id)
    weight_files.of_encoder(found.folder)
    # Only now, since transformers takes seconds to import: what the files alone refuse is refused.
    from export.from_torch import originals, settled_tokenizer

    with TemporaryDirectory() as scratch:
        made = Path(scratch) / TOKENIZER_FILE
        if originals.runs_here(found, trust_code=trust_code):
            settled_tokenizer.settle(found, made, trust_code=trust_code)
        else:
            place = str(located.folder.resolve())
            arguments = ("--tokenizer", place, "--into", str(made), "--id", located.id)
            originals.hand_over(arguments, found.choice)
        if made.is_file():
            found = checkpoints.read(located.folder, choice, located.id, tokenizer=made)
        yield found
