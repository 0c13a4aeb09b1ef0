"""Reading: a checkpoint as it is exported, its tokenizer included."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from app.inference.manifest import TOKENIZER_FILE
from app.inference.spellings import PoolingChoice
from export import checkpoint as checkpoints
from export import weight_files
from export.checkpoint import Checkpoint
from export.source import Located


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
    from export import originals, settled_tokenizer

    with TemporaryDirectory() as scratch:
        made = Path(scratch) / TOKENIZER_FILE
        if originals.runs_here(found, trust_code=trust_code):
            settled_tokenizer.settle(found, made, trust_code=trust_code)
        else:
            arguments = ("--tokenizer", str(located.folder.resolve()), "--into", str(made))
            originals.hand_over(arguments, found.choice)
        if made.is_file():
            found = checkpoints.read(located.folder, choice, located.id, tokenizer=made)
        yield found
