"""ONNX Runtime errors: what the text of a failed run says about its cause.

ONNX Runtime's errors carry no codes that Python could read, only texts: those of its allocators,
which every provider shares, and those of CUDA's libraries, as `CUDA failure 700: … ; GPU=0 ;
hostname=…`.
"""

import re

from app.errors import BackendFailed, DeviceLost, OutOfMemory

_OUT_OF_MEMORY = re.compile(
    r"Failed to allocate memory for requested buffer"  # an arena, on any device
    r"|is smaller than requested bytes of"  # an arena at its limit
    r"|\bCUDA failure 2:|\bCUBLAS failure 3:"
    r"|std::bad_alloc"
)
# After these errors every call fails until the process is replaced (CUDA Runtime API, cudaError):
# device unavailable, ECC and NVLink errors, illegal address, launch timeout, context destroyed,
# assert, and the faults of a kernel from 714 to 719; 999 is what a device that fell off the bus
# gives.
_DEVICE_LOST = re.compile(
    r"\bCUDA failure (?:46|214|220|700|702|709|710|71[4-9]|999): [^;\n]*[^;\s](?: ; GPU=\d+)?"
)


def backend_failure(error: Exception) -> BackendFailed:
    """Return the error that a failed run means, with ONNX Runtime's own words."""
    text = str(error)
    if lost := _DEVICE_LOST.search(text):
        return DeviceLost(f"Backend error: {lost.group()}")
    if _OUT_OF_MEMORY.search(text):
        return OutOfMemory(f"Backend error: {text}")
    return BackendFailed(f"Backend error: {text}")
