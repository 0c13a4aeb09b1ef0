"""Our operators alone: graphs of one node, with the kernel and the threads of a test."""

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

PLAIN = library.PLAIN


def obstacle() -> str | None:
    """Return the reason why no operator can run here, or None."""
    if (found := build.obstacle()) is not None:
        return found
    return None if "avx2" in machine.describe(CPUINFO).split() else "the processor has no AVX2"


def kernels() -> list[str]:
    """Return the kernels that can run here, the plain one first; none if no operator can."""
    if obstacle() is not None:
        return []
    here = machine.describe(CPUINFO).split()
    able = (name for name in library.KERNELS if name in here)
    return [PLAIN, *(one for one in able if one != library.TILES or library.may_use_tiles())]


def not_shown() -> list[str]:
    """Return lines for the summary of a test run: what it cannot show of the operators."""
    if (found := obstacle()) is not None:
        return [f"not shown: int16's operators: {found}"]
    missing = sorted(set(library.KERNELS) - set(kernels()))
    return [f"not shown: int16's kernels {', '.join(missing)}"] if missing else []


def built(folder: Path) -> Path:
    """Return the compiled operators: the working tree's if they are current, else in `folder`."""
    sources = [*library.FOLDER.glob("*.[ch]"), library.FOLDER / "build.py"]
    newest = max(one.stat().st_mtime for one in sources)
    made = library.LIBRARY
    if made.is_file() and made.stat().st_mtime > newest and library.fault(made) is None:
        return made
    build.build(folder / "operators.so")
    return folder / "operators.so"


class Operators:
    """A runner of single nodes of a library; with `arena`, in memory that ONNX Runtime keeps."""

    def __init__(self, path: Path, *, arena: bool = True) -> None:
        self.path = path
        self._arena = arena

    def products(
        self, x: Floats, weights: Sequence[Floats], biases: Sequence[Floats] = (), **options: Any
    ) -> list[Floats]:
        """Return x times each of the weights, or the one output of a feed-forward layer."""
        kernel, threads = options.pop("kernel", ""), options.pop("threads", 1)
        model = graph(interleaved(weights, biases), **options)
        return list(self.session(model, kernel, threads).run(None, {"x": x}))

    def feed_forward(
        self, x: Floats, weights: Sequence[Floats], biases: Sequence[Floats] = (), **options: Any
    ) -> Floats:
        """Run a feed-forward layer."""
        return self.products(x, weights, biases, feed_forward=1, **options)[0]

    def session(
        self, model: bytes, kernel: str = "", threads: int = 1
    ) -> onnxruntime.InferenceSession:
        """A session over a model with the operators."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.enable_cpu_mem_arena = self._arena
        options.log_severity_level = 4  # intended errors are asserted
        library.register(options, self.path, kernel or None)
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def interleaved(weights: Sequence[Floats], biases: Sequence[Floats] = ()) -> list[Floats]:
    """Return each of the weights with its bias, zeros where there are none."""
    biases = biases or [np.zeros(one.shape[-1], np.float32) for one in weights]
    return [one for pair in zip(weights, biases, strict=True) for one in pair]


def graph(constants: Sequence[Floats], inputs: Sequence[str] = ("x",), **attributes: Any) -> bytes:
    """A model of one node."""
    names = [f"c{i}" for i in range(len(constants))]
    count = 1 if attributes.get("feed_forward") else max(1, len(constants) // 2)
    outputs = [f"y{i}" for i in range(count)]
    node = helper.make_node(
        "Int16Products", [*inputs, *names], outputs, domain=library.DOMAIN, **attributes
    )
    made = helper.make_graph(
        [node],
        "products",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(one, name) for one, name in zip(constants, names, strict=True)],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(library.DOMAIN, 1)]
    found: bytes = helper.make_model(made, opset_imports=opsets, ir_version=10).SerializeToString()
    return found


def digest(arrays: Sequence[Floats]) -> str:
    """Return a short digest of arrays' bits, in which all NaNs are equal."""
    found = hashlib.sha256()
    for one in arrays:
        found.update(np.where(np.isnan(one), np.float32(np.nan), one).astype(np.float32).tobytes())
    return found.hexdigest()
