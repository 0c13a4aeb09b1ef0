"""Infer form: requests of the Open Inference Protocol, whose tensors may stand behind the JSON."""

from typing import Any

from starlette.types import Receive, Scope

from app.api.http.byte_budget import Bodies, Share
from app.api.http.forms.form import Posted
from app.api.http.service import model_in_path
from app.api.http.transport import JSON, header
from app.api.verbs.open_inference.binary import HEADER, split
from app.api.verbs.open_inference.infer import VERSION, Infer, render_error
from app.api.verbs.output.representation import Representation
from app.api.verbs.verb import Request
from app.errors import (
    LONGEST_NAME,
    ModelNotFound,
    ServiceError,
    UnreadableRequest,
    UnsupportedMediaType,
)
from app.inference.computing import Computed
from app.inference.served_model import ServedModel
from app.inference.several.served_models import ServedModels

_VERSIONS = "/versions/"


class InferForm:
    """JSON and perhaps binary data behind it, whatever it is declared as, for a model in the path.

    Triton's client declares nothing or octets.
    """

    def __init__(self, models: ServedModels) -> None:
        self._models = models

    async def read(self, bodies: Bodies, scope: Scope, receive: Receive, share: Share) -> bytes:
        """Read the whole body; raises UnsupportedMediaType, and what `Bodies.read` does."""
        coding = header(scope, b"content-encoding")
        if coding is not None and coding.strip().lower() != b"identity":
            name = coding.decode("latin-1")[:LONGEST_NAME]
            raise UnsupportedMediaType(f"`Content-Encoding: {name}` is not understood; send none")
        return await bodies.read(scope, receive, share)

    def posted(self, scope: Scope, content: bytes, /) -> Posted:
        """Return what a body holds; raises ModelNotFound, MalformedTensor."""
        model = model_of(self._models, scope)
        json, data = split(content, header(scope, HEADER))
        return Posted(Infer(model, data), json, len(data))

    def represented(
        self,
        scope: Scope,
        verb: Any,
        model: ServedModel,
        request: Request[Any],
        computed: Computed[Any],
        /,
    ) -> Representation:
        """Return the answer in JSON, or with the binary data of its tensor."""
        del scope
        answer: Representation = verb.represent(model, request, computed)
        return answer

    def render_error(self, error: ServiceError) -> bytes:
        """Return the protocol's `{"error": …}`."""
        return render_error(error)

    def unreadable(self, error: UnreadableRequest) -> tuple[bytes, bytes]:
        """Return the same, and its media type."""
        return render_error(error), JSON


def model_of(models: ServedModels, scope: Scope) -> ServedModel:
    """Return the model that a path names, perhaps with its version. Raises: ModelNotFound."""
    part: str = scope["path_params"]["name"]
    try:
        return model_in_path(models, part)
    except ModelNotFound:
        name, found, version = part.rpartition(_VERSIONS)
        if not found or version != VERSION:
            raise
        return model_in_path(models, name)
