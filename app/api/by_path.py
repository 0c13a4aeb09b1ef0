"""By path: routes without parameters are found in one step, however many there are."""

from collections.abc import Sequence

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send


class ByPath(BaseRoute):
    """Routes whose paths are fixed; Starlette would try the pattern of each in turn."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._endpoints = {one.path: one.endpoint for one in routes}

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        endpoint = self._endpoints.get(scope["path"])
        if endpoint is None:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": endpoint, "path_params": {}}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["endpoint"](scope, receive, send)


def by_path(routes: Sequence[Route]) -> list[BaseRoute]:
    """Return the same routes; those with fixed paths go before those with parameters."""
    fixed = [one for one in routes if not one.param_convertors]
    return [ByPath(fixed), *(one for one in routes if one.param_convertors)]
