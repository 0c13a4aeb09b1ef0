"""Machines, as the choice of a provider sees them."""

from dataclasses import replace

from app.inference.providers.plan import ORT_NAMES, Here

CPU, CUDA = ORT_NAMES["cpu"], ORT_NAMES["cuda"]
FAST = Here(frozenset({CPU}), 2, bfloat16=True)
GPU = Here(frozenset({CPU, CUDA}), 2, bfloat16=False, openvino_fault="no plug-in")
TENSORRT = replace(GPU, ort_names=frozenset({CPU, CUDA, ORT_NAMES["tensorrt"]}))
