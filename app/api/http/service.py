"""Service: what the application gives to the endpoints."""

from dataclasses import dataclass, field

from app.access.api_keys import ApiKeys
from app.api.http.asked_names import AskedNames
from app.api.http.byte_budget import Bodies
from app.inference.served_model import ServedModel
from app.lifecycle import Lifecycle
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Tracer


@dataclass(frozen=True, slots=True)
class Service:
    """The model that is served, and what all requests to it share."""

    model: ServedModel
    metrics: Metrics
    lifecycle: Lifecycle
    bodies: Bodies
    keys: ApiKeys | None  # None: everybody may use it
    tracer: Tracer | None
    asked_names: AskedNames = field(default_factory=AskedNames)

    def model_for(self, name: str | None) -> ServedModel:
        """Return the only model, whatever name the request gives."""
        self.asked_names.heed(name, self.model)
        return self.model
