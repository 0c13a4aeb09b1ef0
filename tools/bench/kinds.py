"""The precisions that the bench serves a model in: what the machine offers and a folder holds."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

from app.errors import StartupError
from app.inference.providers.plan import ProviderRequest
from app.inference.providers.session import plans
from app.model.manifest import Manifest
from app.model.names import Dtype, DtypeChoice


class Kind(NamedTuple):
    """A precision to ask a server for, and the folder that has it."""

    dtype: DtypeChoice
    folder: Path


def kinds(folders: Sequence[Path]) -> Iterator[Kind]:
    """Return the default choice, then each precision by name, from the first folder that has it.

    Two of them may be the same; which precision a server computes in is known when it runs.
    """
    yield Kind("auto", folders[0])
    dtypes: tuple[Dtype, ...] = get_args(Dtype)
    for dtype in dtypes:
        holding = next((folder for folder in folders if offers(folder, dtype)), None)
        if holding is not None:
            yield Kind(dtype, holding)


def offers(folder: Path, dtype: Dtype) -> bool:
    """Return whether this machine computes a precision, and the folder has a graph for it."""
    manifest = Manifest.read(folder)
    try:
        found = plans(ProviderRequest(dtype=dtype), manifest.task)
    except StartupError:
        return False
    return any(plan.graph_in(manifest) is not None for plan in found)
