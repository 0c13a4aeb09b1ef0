"""Spellings: a pooling as users write it, and the command of an export, alike for both programs.

Only the standard library is needed here.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import get_args

from app.model.names import OWN_GRAPHS, DtypeChoice, PoolingChoice

POOLINGS: Mapping[str, PoolingChoice] = MappingProxyType(
    {choice.replace("_", "-"): choice for choice in get_args(PoolingChoice)}
)
"""As TEI's command line has them, and our own help."""

# `/info` has an underscore; sentence-transformers' files and users omit the hyphen.
_LETTERS = {name.replace("-", ""): choice for name, choice in POOLINGS.items()}


def pooling(text: str) -> PoolingChoice:
    """Return the pooling that a text means, with hyphen, underscore or neither, in any case.

    Raises: ValueError with what the text must be.
    """
    found = _LETTERS.get(text.strip().lower().replace("-", "").replace("_", ""))
    if found is None:
        raise ValueError(f"must be one of {', '.join(POOLINGS)}")
    return found


def export_command(
    model_id: str, revision: str | None, pooling: PoolingChoice | None, dtype: DtypeChoice
) -> str:
    """Return the command to export a model as the options of a server ask for it."""
    asked = {
        "REVISION": revision,
        "POOLING": pooling and pooling.replace("_", "-"),
        "DTYPE": dtype if dtype in OWN_GRAPHS else None,
    }
    more = "".join(f" {name}={value}" for name, value in asked.items() if value)
    return f"make export MODEL_ID={model_id}{more}"
