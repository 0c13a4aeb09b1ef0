"""Service: the models and shared state behind the endpoints."""

from dataclasses import dataclass, field, replace
from typing import Self
from urllib.parse import unquote

from app.access.api_keys import ApiKeys
from app.api.http.asked_names import AskedNames
from app.api.http.byte_budget import Bodies
from app.api.shapes.model_name import split_side
from app.batches.desk import Desk
from app.errors import ModelNotFound
from app.inference.served_model import ServedModel
from app.inference.several.served_models import ServedModels
from app.lifecycle import Lifecycle
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Tracer


@dataclass(frozen=True, slots=True)
class Service:
    """The models that are served, and what all requests to them share."""

    models: ServedModels
    metrics: Metrics
    lifecycle: Lifecycle
    bodies: Bodies
    keys: ApiKeys | None  # None: everybody may use it
    tracer: Tracer | None
    desk: Desk | None = None  # of files and batches, if there are any
    asked_names: AskedNames = field(default_factory=AskedNames)

    @property
    def model(self) -> ServedModel:
        """The first model, which answers requests that name none."""
        return self.models.first

    def model_for(self, name: str | None) -> ServedModel:
        """Return the model of the name that a request gives; the only one whatever the name.

        Raises: ModelNotFound if none of several has that name.
        """
        if not name:
            return self.model
        if not self.models.are_several:
            self.asked_names.heed(name, self.model)
            return self.model
        found = self.models.named(name) or self.models.named(split_side(name)[0])
        if found is None:
            raise ModelNotFound(name, self.models.names)
        return found

    @property
    def of_first(self) -> Self:
        """The same service with the first model alone."""
        return self.of_one(self.model)

    def of_one(self, model: ServedModel) -> Self:
        """Return the same service with this model alone, which all of its requests are for."""
        if not self.models.are_several:
            return self
        alone = ServedModels.of([model])
        return replace(self, models=alone, metrics=model.metrics, asked_names=AskedNames())


def model_in_path(models: ServedModels, part: str) -> ServedModel:
    """Return the model that a part of a path names.

    Raises: ModelNotFound.
    """
    name = unquote(part)
    # A folder's first slash is lost among those of the path.
    model = models.named(name) or models.named(f"/{name}")
    if model is None:
        raise ModelNotFound(name, models.names)
    return model
