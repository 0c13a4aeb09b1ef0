"""The GPU of this machine, or why there is none that the tests could use."""

import onnxruntime

from app.inference.providers.nvidia import driver
from app.inference.providers.nvidia.cuda import ORT_NAME


def fault() -> str | None:
    """Return the reason why nothing can run on a GPU here, or None."""
    if ORT_NAME not in onnxruntime.get_available_providers():
        return "the installed onnxruntime has no CUDA provider: install requirements/gpu.lock"
    return driver.fault((0,))
