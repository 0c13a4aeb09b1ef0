"""Service: what the application hands down to the endpoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.api.http.byte_budget import Bodies
from app.api.http.transport import RawHeaders
from app.inference.engine import Engine
from app.inference.health import Health
from app.lifecycle import Lifecycle
from app.model.names import Activation
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Tracer


@dataclass(frozen=True, slots=True)
class Limits:
    """What the model and the configuration bound in a request."""

    inputs: int
    dimensions: int  # width of the model's vectors
    prompts: Sequence[str]  # their names
    body_bytes: int


@dataclass(frozen=True, slots=True)
class Service:
    """What the endpoints need."""

    engine: Engine
    metrics: Metrics
    lifecycle: Lifecycle
    health: Health
    model_name: str
    other_names: Sequence[str]  # that requests may call it by
    labels: Sequence[str]  # of a classifier or reranker
    activation: Activation  # which makes scores of its logits
    prompt_names: Sequence[str]  # that choose a prompt, or a way through the model
    info: Mapping[str, object]  # the answer of GET `/info`
    created: int  # when the model was exported, in seconds since 1970
    bodies: Bodies
    limits: Limits
    api_key: str | None
    headers: RawHeaders  # of every computed answer: which vector space, in which precision
    tracer: Tracer | None
