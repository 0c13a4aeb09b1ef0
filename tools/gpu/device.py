"""The GPU of this machine, or why there is none that the tests could use."""

import onnxruntime

from app.inference.providers import cuda
from app.inference.providers.plan import ORT_NAMES


def fault() -> str | None:
    """Why nothing can run on a GPU here; None where it can."""
    if ORT_NAMES["cuda"] not in onnxruntime.get_available_providers():
        return "the installed onnxruntime has no CUDA provider: install requirements/gpu.lock"
    return cuda.fault((0,))
