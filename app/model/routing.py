"""Routing: which way through a model an input takes, where queries and documents have their own.

Requests choose by a prompt's name, as sentence-transformers' callers do by `encode_query` and
`encode_document`. A model with one way for everything has no routes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from app.errors import InvalidInput
from app.model.manifest import Manifest
from app.model.parts import Route

# What clients of other services call the two sides (Cohere, Voyage, Jina, NVIDIA).
_OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {"search_query": "query", "search_document": "document", "passage": "document"}
)
# sentence-transformers gives every model prompts of these names, empty unless it has its own.
_ALWAYS_PROMPTED = frozenset({"query", "document"})


@dataclass(frozen=True, slots=True)
class Routing:
    """The routes of a model, and the prompts that go with their names."""

    routes: tuple[Route, ...] = ()
    default: str | None = None  # the name of the route that is taken where none is asked for
    prompts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Those that a model declares."""
        return cls(manifest.routes, manifest.default_route, manifest.prompts)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that chooses a route: the model's own, then those of other services."""
        own = [name for route in self.routes for name in route.asked_as]
        others = [name for name, meant in _OTHER_NAMES.items() if meant in own]
        return tuple(dict.fromkeys((*own, *others)))

    @property
    def primary(self) -> Route | None:
        """The route that the model's own graph computes; None where there are no routes."""
        return next((route for route in self.routes if route.graph is None), None)

    def knows(self, name: str) -> bool:
        """Whether a prompt's name chooses a route."""
        return self._side(name) is not None

    def route(self, name: str | None) -> Route | None:
        """The route for a prompt's name, the default one for any other; None without routes.

        Raises: InvalidInput where a name is needed.
        """
        if not self.routes:
            return None
        side = None if name is None else self._side(name)
        for route in self.routes:
            if side in route.asked_as or (side is None and route.name == self.default):
                return route
        choices = ", ".join(f'"{name}"' for one in self.routes for name in one.asked_as)
        raise InvalidInput(
            "Input validation error: the model embeds queries and documents in different ways: "
            f"set `prompt_name` to one of [{choices}]"
        )

    def prompt(self, name: str) -> str | None:
        """The text that goes before inputs of a name that chooses a route; None for the default."""
        if name in self.prompts:
            return self.prompts[name]
        side = self._side(name) or name
        return self.prompts.get(side, "" if side in _ALWAYS_PROMPTED else None)

    def _side(self, name: str) -> str | None:
        """What a name means among those that choose a route."""
        if any(name in route.asked_as for route in self.routes):
            return name
        return _OTHER_NAMES.get(name) if name in self.names else None
