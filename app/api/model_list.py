"""Model list: GET `/v1/models` and `/v1/models/{id}`, in OpenAI's shape.

TEI has neither.
"""

from datetime import datetime

import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.http.service import Service, model_in_path
from app.api.http.transport import JSON, respond
from app.api.verbs import openai
from app.errors import ModelNotFound
from app.inference.served_model import ServedModel


class CountedAs:
    """Requests that are counted under one path, whatever a parameter in it says."""

    def __init__(self, app: ASGIApp, path: str) -> None:
        self.app = app
        self._path = path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["path"] = self._path
        await self.app(scope, receive, send)


def counted(path: str, app: ASGIApp) -> ASGIApp:
    """Return the application of a path, under which its requests are counted."""
    return CountedAs(app, path) if "{" in path else app


def listed(service: Service) -> bytes:
    """Return the answer of GET `/v1/models`."""
    models = [_entry(one) for one in service.models.each]
    return orjson.dumps({"object": "list", "data": models})


class OneModel:
    """GET `/v1/models/{id}`: the model of any name that requests may give, or 404.

    The slash of an id may be written as `%2F`, as some clients do.
    """

    def __init__(self, service: Service) -> None:
        self._models = service.models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        try:
            model = model_in_path(self._models, scope["path_params"]["id"])
        except ModelNotFound as error:
            await respond(send, error.status, openai.render_error(error), JSON, [])
        else:
            await respond(send, 200, orjson.dumps(_entry(model)), JSON, [])


def _entry(model: ServedModel) -> dict[str, object]:
    """Return one model; `created` is its export's time, in Unix seconds."""
    created = int(datetime.fromisoformat(model.manifest.created).timestamp())
    return {"id": model.name, "object": "model", "created": created, "owned_by": "local"}
