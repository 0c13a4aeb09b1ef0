"""Resources: the methods of one path, and the key that some of them need."""

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field

from starlette.types import ASGIApp, Receive, Scope, Send

from app.access.api_keys import ApiKeys
from app.api.http.metric_series import REQUESTS_BY_KEY
from app.api.http.transport import header, respond
from app.telemetry.metrics import Metrics, labels


@dataclass(frozen=True)
class Resource:
    """One path: its methods, and those among them that need the API key."""

    public: Mapping[str, ASGIApp] = field(default_factory=dict)
    protected: Mapping[str, ASGIApp] = field(default_factory=dict)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        endpoint = self.endpoint(scope["method"])
        if endpoint is not None:
            return endpoint(scope, receive, send)
        methods = [*self.protected, *self.public]
        allow = ",".join("GET,HEAD" if method == "GET" else method for method in methods)
        return respond(send, 405, b"", None, [(b"allow", allow.encode())])

    def with_methods_of(self, other: "Resource") -> "Resource":
        """Return the same path with the methods of another, which take precedence."""
        taken = {*other.public, *other.protected}

        def kept(methods: Mapping[str, ASGIApp]) -> dict[str, ASGIApp]:
            return {name: methods[name] for name in methods if name not in taken}

        return Resource(
            kept(self.public) | dict(other.public), kept(self.protected) | dict(other.protected)
        )

    def endpoint(self, method: str) -> ASGIApp | None:
        """Return the handler of a method; HEAD is a GET whose body the server leaves out."""
        name = "GET" if method == "HEAD" else method
        return self.protected.get(name) or self.public.get(name)

    def needs_key(self, method: str) -> bool:
        """Check whether a method is protected; every method is on a path without public ones."""
        return method in self.protected or not self.public


class Guarded:
    """Admits requests that carry `Authorization: Bearer <key>`, compared byte for byte.

    Inner applications find the key's name in the scope as `api_key_name`, if it has one. OPTIONS
    needs no key: a path's methods are no secret, and browsers ask without a key.
    """

    def __init__(self, resource: Resource, keys: ApiKeys, metrics: Metrics) -> None:
        self._resource = resource
        self._keys = keys
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "OPTIONS" and self._resource.needs_key(scope["method"]):
            key = self._keys.find(header(scope, b"authorization") or b"")
            if key is None:
                await respond(send, 401, b"", None, [])
                return
            if key.name is not None:
                scope["api_key_name"] = key.name
                self._metrics.count(REQUESTS_BY_KEY, labels(api_key=key.name))
        await self._resource(scope, receive, send)
