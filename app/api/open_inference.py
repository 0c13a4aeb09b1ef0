"""Open Inference Protocol, version 2: the paths below `/v2` that KServe and Triton have.

TEI has none of them. A model has one version, which a path may name. Of a health check the status
counts; the bodies are those that KServe's own client reads, where the protocol has empty ones.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from app import __version__
from app.api.http.endpoints import BatchedPost, ConstantJson, HealthCheck
from app.api.http.forms.infer_form import InferForm, model_of
from app.api.http.service import Service
from app.api.http.transport import JSON, respond
from app.api.resources import Resource
from app.api.verbs.open_inference import tensors
from app.api.verbs.open_inference.infer import VERSION, render_error
from app.errors import ModelNotFound
from app.inference.served_model import ServedModel
from app.inference.several.served_models import ServedModels

NAME = "embedding-service"
EXTENSIONS = ("binary_tensor_data", "parameters")
PLATFORM = "onnxruntime_onnx"  # the framework and the format, as the protocol names them


def resources(service: Service) -> dict[str, Resource]:
    """Return the paths of the protocol; of two that fit, the first is meant."""
    models = service.models
    server = {"name": NAME, "version": __version__, "extensions": EXTENSIONS}
    live = HealthCheck(
        service, models.check_alive, while_draining=True, content=orjson.dumps({"live": True})
    )
    ready = HealthCheck(
        service, models.check_recent, while_draining=False, content=orjson.dumps({"ready": True})
    )
    return {
        "/v2": Resource(protected={"GET": ConstantJson(orjson.dumps(server))}),
        "/v2/health/live": Resource(public={"GET": live}),
        "/v2/health/ready": Resource(public={"GET": ready}),
        "/v2/models/{name:path}/infer": Resource(
            protected={"POST": BatchedPost(service, InferForm(models))}
        ),
        "/v2/models/{name:path}/ready": Resource(public={"GET": ModelReady(service)}),
        "/v2/models/{name:path}": Resource(protected={"GET": ModelMetadata(models)}),
    }


class ModelMetadata:
    """GET `/v2/models/{name}`: the tensors that a model takes and yields."""

    def __init__(self, models: ServedModels) -> None:
        self._models = models

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        try:
            model = model_of(self._models, scope)
        except ModelNotFound as error:
            await respond(send, error.status, render_error(error), JSON, [])
        else:
            await respond(send, 200, orjson.dumps(metadata(model)), JSON, [])


class ModelReady:
    """GET `/v2/models/{name}/ready`: 200 if the model answered lately and the service stays up."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            model = model_of(self._service.models, scope)
        except ModelNotFound as error:
            await respond(send, error.status, render_error(error), JSON, [])
        else:
            check = model.health.check_recent
            content = orjson.dumps({"name": model.name, "ready": True})
            probe = HealthCheck(self._service, check, while_draining=False, content=content)
            await probe(scope, receive, send)


def metadata(model: ServedModel) -> Mapping[str, Any]:
    """Return a model's metadata in the protocol's terms."""
    return {
        "name": model.name,
        "versions": [VERSION],
        "platform": PLATFORM,
        **tensors.described(model.manifest),
    }
