"""Other environment: the one with transformers 5, which can do steps of an export.

A model that transformers does not implement here may be implemented there:
docs/decisions/0015-transformers-5.md.
"""

from collections.abc import Sequence
from typing import NoReturn

import transformers

from export import child
from export.checkpoint.read import Checkpoint
from export.errors import ExportError
from export.reference import original

PYTHON = child.ROOT / ".venv-transformers5" / "bin" / "python"
# optimum holds transformers below 4.58, so only the first environment has it.
HAS_OPTIMUM = transformers.__version__.startswith("4.")


def is_needed(checkpoint: Checkpoint, *, trust_code: bool) -> bool:
    """Check whether the model may be implemented there, and is not implemented here.

    Raises: ExportError if it is not implemented here and there is no other environment, with the
    remedy.
    """
    if (trust_code and checkpoint.brings_code) or original.is_native(checkpoint):
        return False
    if not HAS_OPTIMUM or not PYTHON.is_file():
        _refuse(checkpoint)
    return True


def run(arguments: Sequence[str], checkpoint: Checkpoint) -> None:
    """Run a step of the export there, which the arguments name; its output is printed.

    The step reads the checkpoint again, and gets the pooling that replaces the one in its files.

    Raises: ExportError with the last line of a step that fails.
    """
    command = [str(PYTHON), "-m", "export", *arguments]
    if checkpoint.choice is not None:
        command += ["--pooling", checkpoint.choice.replace("_", "-")]
    ended = child.run(command, lambda _: None)  # warnings of libraries, which users cannot act on
    if ended.fault is not None:
        raise ExportError(ended.fault)


def _refuse(checkpoint: Checkpoint) -> NoReturn:
    """Raise ExportError with what would help: the other environment, or the checkpoint's code."""
    what = f"architecture {checkpoint.architecture} (model_type {checkpoint.model_type!r})"
    remedies = []
    if HAS_OPTIMUM:
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
