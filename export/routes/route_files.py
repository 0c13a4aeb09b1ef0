"""Route files: what the files of each route say, and whether the routes belong to one model."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from export.checkpoint import read as checkpoints
from export.checkpoint import routers
from export.checkpoint.read import Checkpoint
from export.checkpoint.routers import Router, Way
from export.config.documents import read_json
from export.config.layers import Normalize
from export.errors import ExportError
from export.from_torch import settled_tokenizer
from export.reference import original
from export.routes import model2vec, static_models
from export.routes.static_models import StaticModel


@dataclass(frozen=True, slots=True)
class Side:
    """A route, with the facts from its files."""

    way: Way
    checkpoint: Checkpoint
    static: StaticModel | None = None


def read(router: Router, folder: Path, scratch: Path) -> list[Side]:
    """Read the sides of the checkpoint in `folder`; files made from it go to `scratch`.

    Raises: ExportError if a route cannot be exported, or does not fit the others.
    """
    return _alike(
        [
            _read(way, routers.unfold(way, folder, scratch / str(place)))
            for place, way in enumerate(router.ways)
        ]
    )


def _read(way: Way, folder: Path) -> Side:
    made = folder.with_suffix(".tokenizer.json")
    if way.is_static:
        static = (model2vec if way.is_model2vec else static_models).read(way, folder)
        if static.is_sparse:  # the library loads it with transformers
            settled_tokenizer.settle(static.checkpoint, made)
        tokenizer = made if made.is_file() else static.checkpoint.tokenizer
        return Side(way, replace(static.checkpoint, tokenizer=tokenizer), static)
    found = checkpoints.read(folder)
    if not original.is_native(found):
        raise ExportError(
            f"route {way.name}: architecture {found.architecture} (model_type "
            f"{found.model_type!r}) is not implemented here by transformers, and code that a model "
            "with routes brings is not run: choose another model"
        )
    settled_tokenizer.settle(found, made)
    if made.is_file():
        found = checkpoints.read(folder, tokenizer=made)
    if found.task not in {"embedding", "splade"}:
        raise ExportError(f"route {way.name} is a {found.task} model, which is not supported")
    if found.leaves_out_prompts:
        raise ExportError(f"route {way.name} leaves prompts out of its pooling: not supported")
    return Side(way, found)


def _alike(sides: Sequence[Side]) -> list[Side]:
    """Check that the sides belong to one model, and return them, normalized in the same way.

    Raises: ExportError naming what differs.
    """
    first, *others = sides
    for other in others:
        names = f"the routes {first.way.name} and {other.way.name}"
        left, right = first.checkpoint, other.checkpoint
        facts = {
            "kinds of vectors": (left.task, right.task),
            "numbers of dimensions": (left.dimensions, right.dimensions),
            "sides on which texts are cut": (left.truncation_side, right.truncation_side),
            "ways of lower-casing": (left.lower_case, right.lower_case),
            "tokenizers": (_tokenizer(left.tokenizer), _tokenizer(right.tokenizer)),
        }
        if first.static is None and other.static is None:
            facts["ways of padding"] = (left.padding, right.padding)
        for what, (one, two) in facts.items():
            if one != two:
                raise ExportError(
                    f"{names} have different {what}: not supported, choose another model"
                )
    if all(side.checkpoint.normalize for side in sides):
        return list(sides)
    return [_with_normalize(side) for side in sides]


def _with_normalize(side: Side) -> Side:
    """Put a side's last Normalize into its graph, since not all routes end in one."""
    found = side.checkpoint
    if not found.normalize or found.head is None:
        return side
    head = replace(found.head, layers=(*found.head.layers, Normalize()))
    return replace(side, checkpoint=replace(found, head=head, normalize=False))


def _tokenizer(path: Path) -> object:
    """Read a tokenizer without its settings of truncation and padding, which may differ."""
    content = read_json(path)
    assert isinstance(content, dict)
    return {key: one for key, one in content.items() if key not in {"truncation", "padding"}}
