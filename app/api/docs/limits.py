"""Limits: the bounds on requests that the API's description states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from app.inference.served_model import ServedModel


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds on requests to one model, or to one of several that a request names."""

    inputs: int
    dimensions: int  # width of the model's vectors
    prompts: Sequence[str]  # their names
    body_bytes: int
    models: Sequence[str] = ()  # the names of several

    @classmethod
    def of(cls, models: Sequence[ServedModel]) -> Self:
        """Return the limits of models under their settings, the widest if they differ."""
        settings = models[0].settings
        return cls(
            inputs=settings.max_client_batch_size,
            dimensions=max(one.manifest.dimensions for one in models),
            prompts=tuple(dict.fromkeys(name for one in models for name in one.prompt_names)),
            body_bytes=settings.payload_limit,
            models=[one.name for one in models] if len(models) > 1 else (),
        )
