"""Batches over a graph in float16, and how far its answers are from the probes'."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.inference import loading
from app.inference.loading import LoadedModel, LoadOptions, load
from app.inference.providers.plan import Plan, ProviderRequest
from app.model.parts import Padding

RIGHT = Padding(0, 0, "right")


def load_with(folder: Path, wanted: ProviderRequest) -> LoadedModel:
    return load(folder, LoadOptions(wanted, 1, 16384, True))


PACKED = Plan("cpu", "it was asked for", "float16", packed=True)
FUSED = replace(PACKED, packed=False)


def try_plans(monkeypatch: pytest.MonkeyPatch, *tried: Plan) -> None:
    monkeypatch.setattr(loading, "plans", lambda *_: list(tried))
