"""Machines, as seen by the choice of a provider."""

from dataclasses import replace

from app.inference.providers.choose import PROVIDERS
from app.inference.providers.plan import Found, Machine
from app.model.names import Provider

CPU, CUDA = PROVIDERS["cpu"].ort_name, PROVIDERS["cuda"].ort_name
NO_OPERATORS: dict[Provider, Found] = {"cpu": Found(no_int16="no operators")}
NO_PLUGIN: dict[Provider, Found] = NO_OPERATORS | {"openvino": Found("no plug-in")}
NO_DRIVER: dict[Provider, Found] = {"cuda": Found("there is no NVIDIA driver here: pass a device")}
PLAIN = Machine(frozenset({CPU}), 2, bfloat16=False, found=NO_PLUGIN)
PLUGIN = Machine(frozenset({CPU}), 2, bfloat16=False, found=NO_OPERATORS)
FAST = Machine(frozenset({CPU}), 2, bfloat16=True, found=NO_OPERATORS)
ARM = Machine(frozenset({CPU}), 2, bfloat16=True, found=NO_OPERATORS, arm64=True)
OLD_ARM = replace(ARM, bfloat16=False)  # a processor without bfloat16
BLOCKED = Machine(frozenset({CPU}), 2, bfloat16=True, found=NO_PLUGIN)
OPERATORS = replace(PLAIN, found={"openvino": Found("no plug-in")})
EVERYTHING = Machine(frozenset({CPU}), 2, bfloat16=True)
TILES = replace(EVERYTHING, found={"cpu": Found(int16_by_tiles=True)})
GPU = Machine(frozenset({CPU, CUDA}), 2, bfloat16=False, found=NO_PLUGIN)
GPU_IMAGE = replace(GPU, found=NO_PLUGIN | NO_DRIVER)
TENSORRT = replace(GPU, ort_names=frozenset({CPU, CUDA, PROVIDERS["tensorrt"].ort_name}))
