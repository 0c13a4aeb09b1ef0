"""Exported folders, loaded in the test process."""

import contextlib
from pathlib import Path

import pytest

from app.inference import loading
from app.inference.loading import LoadedModel, LoadOptions
from app.inference.providers.plan import Plan, ProviderRequest
from app.inference.tokenizing.slice_scheduler import SliceScheduler

ON_CPU = ProviderRequest("cpu", threads=1)


def load_folder(
    folder: Path,
    wanted: ProviderRequest = ON_CPU,
    max_batch_tokens: int = 16384,
    *,
    truncate: bool = True,
) -> LoadedModel:
    options = LoadOptions(wanted, max_batch_tokens, truncate)
    with contextlib.closing(SliceScheduler(1, "tokenize")) as tokenizing:
        return loading.load(folder, loading.read_manifest(folder), options, tokenizing)


def try_plans(monkeypatch: pytest.MonkeyPatch, *tried: Plan) -> None:
    monkeypatch.setattr(loading, "plans", lambda *_: list(tried))
