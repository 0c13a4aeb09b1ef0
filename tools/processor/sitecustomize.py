"""Let each Python process with this folder in PYTHONPATH see the processor named by PROCESSOR.

Python imports a module of this name when it starts, so what a test starts sees what the test sees.
The service knows nothing of it: once they are imported, what `app.inference.providers.machine` reads is
another text, what `app.inference.providers.openvino` finds is another device, and what `app.operators.library`
finds are no operators, or it takes others of their kernels.
"""

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
FLAGS: Mapping[str, str] = {
    "plain": "sse4_2",
    "avx2": "avx2",
    "vnni": "avx2 avx512f avx512_vnni",
    "bf16": "avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_int8",
}
WITHOUT_OPENVINO = ("plain", "avx2")
# The kernel of the operators that such a processor has in place of a faster one.
KERNELS: Mapping[str, Mapping[str, str]] = {
    "avx2": dict.fromkeys(("amx_int8", "avx512_vnni", "avx_vnni"), "avx2"),
    "vnni": {"amx_int8": "avx512_vnni"},
    "bf16": {"amx_int8": "avx512_vnni"},
}
MANTISSA = 5
NO_DEVICE = (
    "the OpenVINO plug-in offers no CPU device here; up to version 1.8 it takes Intel's "
    "processors only"
)


class _Changing(MetaPathFinder):
    """A finder of modules that changes some of them once they have run."""

    def __init__(self, changes: Mapping[str, Callable[[Any], None]]) -> None:
        self._changes = changes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self._changes:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute, change = spec.loader.exec_module, self._changes[fullname]

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            change(module)

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


def see(name: str) -> None:
    """Change what this process will find out about its processor.

    Raises: ValueError when the name is none of ours.
    """
    if name not in FLAGS:
        raise ValueError(f"PROCESSOR={name} is not known: choose from {', '.join(FLAGS)}")
    changes: Mapping[str, Callable[[Any], None]] = {
        "app.inference.providers.machine": lambda module: _read_another(module, name),
        "app.inference.providers.openvino": lambda module: _find_another(module, name),
        "app.inference.providers.session": _round_where_nothing_computes_in_bfloat16,
        "app.operators.library": lambda module: _find_other_operators(module, name),
    }
    sys.meta_path.insert(0, _Changing(changes))


def _read_another(machine: Any, name: str) -> None:
    """Read another text, unless the caller names a file."""
    read, sums_bytes_exactly = machine._read, machine.sums_bytes_exactly
    model = re.search(r"^model name\s*:\s*(.+)$", read(CPUINFO), re.MULTILINE)
    seen = f"model name\t: {model.group(1) if model else 'unknown'}, seen as {name}\n"
    seen += f"flags\t\t: {FLAGS[name]}\n"
    machine._read = lambda path: seen if path is machine._CPUINFO else read(path)
    if not sums_bytes_exactly(CPUINFO):  # a false claim would let wrong sums pass
        machine.sums_bytes_exactly = lambda path=CPUINFO: sums_bytes_exactly(path)


def _find_another(openvino: Any, name: str) -> None:
    """Find no device on old processors, else one that says whether it computes in bfloat16."""
    find = openvino.find

    def find_another() -> Any:
        if name in WITHOUT_OPENVINO:
            return openvino.PlugIn(fault=NO_DEVICE)
        found = find()
        return replace(found, bfloat16=name == "bf16" and found.fault is None)

    openvino.find = find_another


def _find_other_operators(library: Any, name: str) -> None:
    """Find no operators with plain, else the kernel of such a processor, unless a file is named."""
    if name == "plain":
        library.LIBRARY = library.FOLDER / "none.so"
        return
    best, own = library.best, library._CPUINFO

    def best_of_another(cpuinfo: Path = own) -> Any:
        found = best(cpuinfo)
        return KERNELS[name].get(found, found) if cpuinfo is own else found

    library.best = best_of_another


def _round_where_nothing_computes_in_bfloat16(session: Any) -> None:
    """Round what OpenVINO gives for bfloat16, so that a test sees which precision it got.

    Layers in bfloat16 move a vector about as far as rounding it once to MANTISSA bits.
    """
    import numpy as np

    from app.inference.providers import machine

    if machine.computes_bfloat16(CPUINFO):
        return
    run, dropped = session.Session.run, 23 - MANTISSA

    def run_and_round(self: Any, batch: Any, outputs: Any) -> Any:
        found = run(self, batch, outputs)
        if (self.provider, self.compute_dtype) != ("openvino", "bfloat16"):
            return found
        half, kept = np.uint32(1 << (dropped - 1)), np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)
        return {k: ((v.view(np.uint32) + half) & kept).view(np.float32) for k, v in found.items()}

    session.Session.run = run_and_round


# The tests import this module too, by its other name.
if __name__ == "sitecustomize" and os.environ.get("PROCESSOR"):
    see(os.environ["PROCESSOR"])
