"""Limits: the bounds on requests that the API's description states."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from app.inference.served_model import ServedModel


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds on requests to one model."""

    inputs: int
    dimensions: int  # width of the model's vectors
    prompts: Sequence[str]  # their names
    body_bytes: int

    @classmethod
    def of(cls, model: ServedModel) -> Self:
        """Return the limits of a model under its settings."""
        return cls(
            inputs=model.settings.max_client_batch_size,
            dimensions=model.manifest.dimensions,
            prompts=model.prompt_names,
            body_bytes=model.settings.payload_limit,
        )
