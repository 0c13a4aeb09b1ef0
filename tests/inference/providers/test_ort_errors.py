"""ONNX Runtime's errors of failed runs: texts from its issues, and one raised here."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.errors import BackendFailed, DeviceLost, OutOfMemory
from app.inference.providers.ort_errors import backend_failure
from tools.process import ROOT

NODE = "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running "
ARENA = (
    f"{NODE}ReduceSum node. Name:'r' Status Message: bfc_arena.cc:376 void* onnxruntime::BFCArena::"
    "AllocateRawInternal(size_t, bool) Failed to allocate memory for requested buffer of size 9"
)
FULL = f"{NODE}Mul node. Available memory of 256 is smaller than requested bytes of 512"
CUDA = (
    "CUDA failure %d: %s ; GPU=0 ; hostname=h ; file=cuda_stream_handle.cc ; line=175 ; expr=f();"
)
CUBLAS = "CUBLAS failure %d: %s ; GPU=0 ; hostname=h ; file=gemm.cc ; line=121 ; expr=f();"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (ARENA, OutOfMemory),
        (FULL, OutOfMemory),
        (CUDA % (2, "out of memory"), OutOfMemory),
        (CUBLAS % (3, "CUBLAS_STATUS_ALLOC_FAILED"), OutOfMemory),
        ("std::bad_alloc", OutOfMemory),
        (CUDA % (700, "an illegal memory access was encountered"), DeviceLost),
        (CUDA % (719, "unspecified launch failure"), DeviceLost),
        (CUDA % (999, "unknown error"), DeviceLost),
        (CUDA % (214, "uncorrectable ECC error encountered"), DeviceLost),
        (CUDA % (1, "invalid argument"), BackendFailed),
        (CUDA % (701, "too many resources requested for launch"), BackendFailed),
        (CUDA % (21, "x"), BackendFailed),
        (CUBLAS % (13, "CUBLAS_STATUS_EXECUTION_FAILED"), BackendFailed),
        (f"{NODE}Gather node. indices element out of data bounds, idx=700", BackendFailed),
    ],
)
def test_the_kind_of_a_failure_is_read_from_its_text(text: str, kind: type[BackendFailed]) -> None:
    failure = backend_failure(RuntimeError(text))
    assert type(failure) is kind
    assert str(failure).startswith("Backend error: ")


def test_a_lost_device_is_reported_briefly() -> None:
    text = f"{NODE}MatMul node.\n{CUDA % (700, 'an illegal memory access was encountered')}"
    assert str(backend_failure(RuntimeError(text))) == (
        "Backend error: CUDA failure 700: an illegal memory access was encountered ; GPU=0"
    )


# The process has little memory left; a batch needs more, one input does not.
_PROGRAM = """
import resource, sys
from pathlib import Path
from app.errors import OutOfMemory
from app.model.batch import blank
from app.model.manifest import Manifest
from app.inference.providers.plan import Plan
from app.inference.providers.session import Session

folder = Path(sys.argv[1])
manifest = Manifest.read(folder)
session = Session.load(folder, manifest, Plan("cpu", "asked for"))
session.run(blank(1, 8, manifest.padding), ["token_embeddings"])
large = blank(40_000, 12, manifest.padding)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 1_000_000, used + 1_000_000))
try:
    session.run(large, ["token_embeddings"])
except OutOfMemory:
    session.run(blank(1, 8, manifest.padding), ["token_embeddings"])
    print("recovered")
"""


def test_a_real_run_that_lacks_memory_is_recognized_and_survived(tiny_model: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tiny_model)], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.stdout == "recovered\n", ran.stderr
