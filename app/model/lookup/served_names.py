"""Served names: what the models of one process are called, and which of them a name means.

Only the standard library is needed here.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol
from urllib.parse import quote

# Characters that a path holds as they are (RFC 3986, 3.3), and the slash of `organization/name`.
_UNQUOTED = "/-._~!$&'()*+,;=:@"


class Named(Protocol):
    """A model that has a name, and perhaps others."""

    @property
    def name(self) -> str: ...

    @property
    def other_names(self) -> tuple[str, ...]: ...


def paired(ids: Sequence[str], names: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return the id of each model with the name that was given to it, or None.

    Raises: ValueError naming the option.
    """
    if names and len(names) != len(ids):
        raise ValueError(
            f"--served-model-name (SERVED_MODEL_NAME) is given {len(names)} times and --model-id "
            f"(MODEL_ID) {len(ids)} times: give each model a name, in their order, or leave it out"
        )
    for option, given in (
        ("--model-id (MODEL_ID)", ids),
        ("--served-model-name (SERVED_MODEL_NAME)", names),
    ):
        if len(given) > 1 and "" in given:
            raise ValueError(f"{option}: one of {', '.join(map(repr, given))} is empty")
        if (twice := first_twice(given)) is not None:
            raise ValueError(f"{option}: {twice} is given twice: leave one out")
    return [(one, names[place] if names else None) for place, one in enumerate(ids)]


def first_twice(names: Iterable[str]) -> str | None:
    """Return the first name that was there before, or None."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None


def by_name(models: Sequence[Named]) -> Mapping[str, int]:
    """Return the place of the model that each name means.

    A model's own name goes before the other names of all models; of those, one that more than one
    model has means none.
    """
    others: dict[str, set[int]] = {}
    for place, model in enumerate(models):
        for name in model.other_names:
            others.setdefault(name, set()).add(place)
    found = {name: places.pop() for name, places in others.items() if len(places) == 1}
    return found | {model.name: place for place, model in enumerate(models)}


def path_of(name: str) -> str:
    """Return the name of a model as a path holds it: `/models/my model` as `models/my%20model`."""
    return quote(name.strip("/"), safe=_UNQUOTED)
