"""Reserved: the service's settings within what Ray has reserved for a process."""

import os
from collections.abc import Mapping
from typing import Any

from app.options.settings import Settings


def settings(options: Mapping[str, Any]) -> Settings:
    """Return the settings of the actor or replica that this process is.

    `options` are the service's, as in `{"model_id": "…", "dtype": "float32"}`. Raises: UsageError.
    """
    import ray

    resources = ray.get_runtime_context().get_assigned_resources()
    return Settings.read(flags(options, resources), os.environ)


def flags(options: Mapping[str, Any], resources: Mapping[str, float]) -> list[str]:
    """Return the command line of these options on these resources, which options go before.

    As many threads compute as there are CPUs, at least one. Where there are GPUs, CUDA computes on
    them: Ray shows a process no others, so they count from 0.
    """
    threads = max(1, int(resources.get("CPU", 0)))
    found = {"threads": str(threads), "tokenization_workers": str(max(1, threads - 1))}
    gpus = resources.get("GPU", 0)
    if gpus:
        found["provider"] = "cuda"
    if gpus > 1:
        found["device_id"] = ",".join(map(str, range(int(gpus))))
    found |= {name: _text(value) for name, value in options.items() if value is not None}
    return [
        part for name, value in found.items() for part in (f"--{name.replace('_', '-')}", value)
    ]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
