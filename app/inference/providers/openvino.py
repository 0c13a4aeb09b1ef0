"""OpenVINO: the plug-in that brings it to ONNX Runtime, and the device that it offers here."""

import functools
import importlib.util
from dataclasses import dataclass

import onnxruntime

from app.inference.providers.plan import ORT_NAMES

PACKAGE = "onnxruntime_ep_openvino"
_NAME = "openvino"  # under which the plug-in is registered


@dataclass(frozen=True, slots=True)
class Found:
    """The device to compute on, or why there is none."""

    device: onnxruntime.OrtEpDevice | None = None
    fault: str | None = None
    bfloat16: bool = False  # whether OpenVINO says that the device computes in it


@functools.cache
def find() -> Found:
    """Register the plug-in, once in a process, and look for its CPU device."""
    if importlib.util.find_spec(PACKAGE) is None:
        return Found(
            fault="the OpenVINO plug-in is not installed; install the `openvino` extra, which "
            "there is for x86-64"
        )
    import onnxruntime_ep_openvino

    try:
        onnxruntime.register_execution_provider_library(
            _NAME, onnxruntime_ep_openvino.get_library_path()
        )
    except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no narrower base
        return Found(fault=f"the OpenVINO plug-in cannot be loaded: {error}")
    for device in onnxruntime.get_ep_devices():
        if device.ep_name == ORT_NAMES["openvino"] and device.ep_metadata.get("ov_device") == "CPU":
            capabilities = device.ep_metadata.get("OPTIMIZATION_CAPABILITIES", "").split()
            return Found(device, bfloat16="BF16" in capabilities)
    return Found(
        fault="the OpenVINO plug-in offers no CPU device here; up to version 1.8 it takes "
        "Intel's processors only"
    )
