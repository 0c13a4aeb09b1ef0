"""Our operators, run alone: graphs of one node, with the kernel and the threads that a test names."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from app.inference.providers import machine
from app.operators import build, library
from tools.processor.sitecustomize import CPUINFO

Floats = NDArray[np.float32]

PLAIN = "plain"  # the kernel in C, which only tests use
_FLAGS = {"avx512_vnni": "avx512_vnni", "avx_vnni": "avx_vnni", "avx2": "avx2"}


def obstacle() -> str | None:
    """Why no operator can be run here, or None."""
    if (found := build.obstacle()) is not None:
        return found
    return None if "avx2" in machine.describe(CPUINFO).split() else "the processor has no AVX2"


def kernels() -> list[str]:
    """The kernels that can be run here, the plain one first; none where no operator can be."""
    if obstacle() is not None:
        return []
    here = machine.describe(CPUINFO).split()
    return [PLAIN, *(name for name in library.KERNELS if _FLAGS[name] in here)]


def not_shown() -> list[str]:
    """What a run of the tests cannot show of the operators, in lines for whoever reads its end."""
    if (found := obstacle()) is not None:
        return [f"not shown: int16's operators: {found}"]
    missing = sorted(set(library.KERNELS) - set(kernels()))
    return [f"not shown: int16's kernels {', '.join(missing)}"] if missing else []


def built(folder: Path) -> Path:
    """The compiled operators: those of the working tree if they are up to date, else in `folder`."""
    sources = [*library.FOLDER.glob("*.[ch]"), library.FOLDER / "build.py"]
    newest = max(one.stat().st_mtime for one in sources)
    made = library.LIBRARY
    if made.is_file() and made.stat().st_mtime > newest and library.fault(made) is None:
        return made
    build.build(folder / "operators.so")
    return folder / "operators.so"


class Operators:
    """Runs single nodes of a library; with `arena`, in memory that ONNX Runtime keeps."""

    def __init__(self, path: Path, *, arena: bool = True) -> None:
        self.path = path
        self._arena = arena

    def linear(
        self,
        x: Floats,
        weights: Sequence[Floats],
        biases: Sequence[Floats] = (),
        *,
        residual: Floats | None = None,
        **options: Any,
    ) -> list[Floats]:
        """x times each of the weights."""
        attributes = {"parts": len(weights), "bias": int(bool(biases))} | options
        return self._run("Int16Linear", x, [*weights, *biases], residual, attributes)

    def feed_forward(
        self,
        x: Floats,
        weights: Sequence[Floats],
        biases: Sequence[Floats] = (),
        *,
        residual: Floats | None = None,
        **options: Any,
    ) -> Floats:
        """A feed-forward layer."""
        attributes = {"bias": int(bool(biases))} | options
        return self._run("Int16FeedForward", x, [*weights, *biases], residual, attributes)[0]

    def _run(
        self,
        operator: str,
        x: Floats,
        constants: Sequence[Floats],
        residual: Floats | None,
        options: dict[str, Any],
    ) -> list[Floats]:
        kernel, threads = options.pop("kernel", ""), options.pop("threads", 1)
        feeds = {"x": x} | ({} if residual is None else {"residual": residual})
        attributes = {"residual": int(residual is not None)} | options
        model = graph(operator, constants, list(feeds), attributes)
        return list(self.session(model, kernel, threads).run(None, feeds))

    def session(
        self, model: bytes, kernel: str = "", threads: int = 1
    ) -> onnxruntime.InferenceSession:
        """A session over a model with the operators."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_cpu_mem_arena = self._arena
        options.log_severity_level = 4  # what goes wrong on purpose is asserted
        if kernel:
            options.add_session_config_entry(library.KERNEL, kernel)
        library.register(options, threads, self.path)
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def graph(
    operator: str, constants: Sequence[Floats], inputs: Sequence[str], attributes: dict[str, Any]
) -> bytes:
    """A model of one node, whose first input is x, and whose last one may be a residual."""
    names = [f"c{i}" for i in range(len(constants))]
    outputs = [f"y{i}" for i in range(attributes.get("parts", 1))]
    node = helper.make_node(
        operator, [inputs[0], *names, *inputs[1:]], outputs, domain=library.DOMAIN, **attributes
    )
    made = helper.make_graph(
        [node],
        operator,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(one, name) for one, name in zip(constants, names, strict=True)],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(library.DOMAIN, 1)]
    found: bytes = helper.make_model(made, opset_imports=opsets, ir_version=10).SerializeToString()
    return found


def digest(arrays: Sequence[Floats]) -> str:
    """The bits of arrays in short, where every NaN counts as the same."""
    found = hashlib.sha256()
    for one in arrays:
        found.update(np.where(np.isnan(one), np.float32(np.nan), one).astype(np.float32).tobytes())
    return found.hexdigest()
