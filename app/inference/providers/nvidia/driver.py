"""NVIDIA driver: whether it shows a usable device, and whether CUDA's libraries are installed.

ONNX Runtime itself only prints what is missing, and computes on the CPU.
"""

import contextlib
import ctypes
import io
from collections.abc import Callable, Sequence

import onnxruntime

from app.errors import StartupError
from app.inference.providers.plan import Found, Machine
from app.model.names import Provider

# Libraries that ONNX Runtime 1.31's CUDA provider is linked with (`readelf -d`), beside the driver.
LIBRARIES = ("libcudart.so.13", "libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10")
OLDEST_DRIVER = 13000  # 13.0, as cuDriverGetVersion encodes it
_DRIVER = "libcuda.so.1"
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
_CAPABILITY = (75, 76)  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
# Cost of a run in tokens, an estimate: launching a graph's kernels takes as long as some hundred.
RUN_COST = 512
_REMEDY = "pass a device to the container (--gpus all), and see whether nvidia-smi shows it"


def fault(devices: Sequence[int]) -> str | None:
    """Return why CUDA cannot be used on these devices, with the remedy, or None if it can."""
    return _driver_fault(max(devices)) or _library_fault()


def found(devices: Sequence[int], own_fault: Callable[[], str | None] = lambda: None) -> Found:
    """Return the devices' names, or why they cannot be used, `own_fault` included."""
    why = fault(devices) or own_fault()
    if why is not None:
        return Found(why)
    return Found(device=", ".join(sorted(set(map(describe, devices)))))


def require(provider: Provider, label: str, ort_name: str, here: Machine) -> None:
    """Raise StartupError with the remedy if a provider cannot be used here."""
    if ort_name not in here.ort_names:
        raise StartupError(
            f"--provider {provider}: the installed onnxruntime has no {label} provider; install "
            "the `gpu` extra (onnxruntime-gpu) or use the image built with --target gpu"
        )
    if (why := here.of(provider).fault) is not None:
        raise StartupError(f"--provider {provider}: {why}; or use --provider cpu")


def describe(device_id: int) -> str:
    """Return a device's name and compute capability as the driver gives them: NVIDIA L4 sm_89."""
    driver = ctypes.CDLL(_DRIVER)
    driver.cuInit(0)
    device, name = ctypes.c_int(), ctypes.create_string_buffer(256)
    driver.cuDeviceGet(ctypes.byref(device), device_id)
    driver.cuDeviceGetName(name, len(name), device)
    capability = [ctypes.c_int(), ctypes.c_int()]
    for found, attribute in zip(capability, _CAPABILITY, strict=True):
        driver.cuDeviceGetAttribute(ctypes.byref(found), attribute, device)
    return f"{name.value.decode()} sm_{''.join(str(found.value) for found in capability)}"


def cuda_version() -> str:
    """Return the version of CUDA's runtime library, which is not the driver's."""
    found = ctypes.c_int()
    ctypes.CDLL(LIBRARIES[0]).cudaRuntimeGetVersion(ctypes.byref(found))
    return _version(found.value)


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def _driver_fault(last_device: int) -> str | None:
    try:
        driver = ctypes.CDLL(_DRIVER)
    except OSError as error:
        return f"there is no NVIDIA driver here ({error}): {_REMEDY}"
    status = driver.cuInit(0)
    if status == _NO_DEVICE:
        return f"the NVIDIA driver shows no device: {_REMEDY}"
    if status:
        return (
            f"the NVIDIA driver does not start (cuInit gives {status}): see whether nvidia-smi "
            "works, and whether the driver and its libraries have the same version"
        )
    version, count = ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(version))
    if version.value < OLDEST_DRIVER:
        return (
            f"the NVIDIA driver is for CUDA {_version(version.value)}, {_version(OLDEST_DRIVER)} "
            "is needed: update the driver to 580 or newer"
        )
    driver.cuDeviceGetCount(ctypes.byref(count))
    if last_device >= count.value:
        return f"--device-id {last_device}: the driver shows {count.value} devices, counted from 0"
    return None


def _library_fault() -> str | None:
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what is missing
        onnxruntime.preload_dlls()
    for name in LIBRARIES:
        try:
            ctypes.CDLL(name)
        except OSError as error:
            return (
                f"a library of CUDA 13 is missing ({error}): install the `gpu` extra, or use the "
                "image built with --target gpu"
            )
    return None
