"""Routing: which way an input takes through a model with separate ways for queries and documents.

Requests choose by a prompt's name, as sentence-transformers' callers do by `encode_query` and
`encode_document`. A model with one way for all inputs has no routes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from app.errors import InvalidInput
from app.model.manifest import Manifest
from app.model.parts import Route

# Names of the two sides in other services (Cohere, Voyage, Jina, NVIDIA).
_OTHER_NAMES: Mapping[str, str] = MappingProxyType(
    {"search_query": "query", "search_document": "document", "passage": "document"}
)
# sentence-transformers gives every model prompts of these names, empty unless it has its own.
_ALWAYS_PROMPTED = frozenset({"query", "document"})


@dataclass(frozen=True, slots=True)
class Routing:
    """The routes of a model, and the prompts that go with their names."""

    routes: tuple[Route, ...] = ()
    default: str | None = None  # the name of the route for requests that name none
    prompts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Return the routes that a model declares."""
        return cls(manifest.routes, manifest.default_route, manifest.prompts)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that chooses a route: the model's own, then those of other services."""
        own = [name for route in self.routes for name in route.asked_as]
        others = [name for name, meant in _OTHER_NAMES.items() if meant in own]
        return tuple(dict.fromkeys((*own, *others)))

    @property
    def primary(self) -> Route | None:
        """The route that the model's own graph computes, or None without routes."""
        return next((route for route in self.routes if route.graph is None), None)

    def knows(self, name: str) -> bool:
        """Check whether a prompt's name chooses a route."""
        return self._side(name) is not None

    def route(self, name: str | None) -> Route | None:
        """Return the route for a prompt's name, the default one for any other; None without routes.

        Raises: InvalidInput if a name is needed.
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
        """Return the prompt of a name that chooses a route; None for the default one."""
        if name in self.prompts:
            return self.prompts[name]
        side = self._side(name) or name
        return self.prompts.get(side, "" if side in _ALWAYS_PROMPTED else None)

    def _side(self, name: str) -> str | None:
        """Return the route's own name for a name that chooses one, or None."""
        if any(name in route.asked_as for route in self.routes):
            return name
        return _OTHER_NAMES.get(name) if name in self.names else None
