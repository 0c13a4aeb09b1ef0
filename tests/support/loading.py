"""Exported folders, loaded in the test's own process."""

from pathlib import Path

import pytest

from app.inference import loading
from app.inference.loading import LoadedModel, LoadOptions
from app.inference.providers.plan import Plan, ProviderRequest

ON_CPU = ProviderRequest("cpu", threads=1)


def load_folder(
    folder: Path,
    wanted: ProviderRequest = ON_CPU,
    max_batch_tokens: int = 16384,
    *,
    truncate: bool = True,
) -> LoadedModel:
    options = LoadOptions(wanted, 1, max_batch_tokens, truncate)
    return loading.load(folder, loading.read_manifest(folder), options)


def try_plans(monkeypatch: pytest.MonkeyPatch, *tried: Plan) -> None:
    monkeypatch.setattr(loading, "plans", lambda *_: list(tried))
