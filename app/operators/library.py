"""Library: the compiled operators, whether they can be used here, and how a session gets them."""

import ctypes
import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

FOLDER = Path(__file__).resolve().parent
LIBRARY = FOLDER / "operators.so"
DOMAIN = "app.operators"  # of the operators, in a graph

TILES = "amx_int8"  # the kernel that multiplies tiles of bytes
# The kernels by their speed, with what a processor needs for them; all give the same answers.
KERNELS: Mapping[str, frozenset[str]] = {
    TILES: frozenset({"fma", "avx512bw", "avx512vl", "amx_tile", "amx_int8"}),
    "avx512_vnni": frozenset({"fma", "avx512bw", "avx512vl", "avx512_vnni"}),
    "avx_vnni": frozenset({"fma", "avx2", "avx_vnni"}),
    "avx2": frozenset({"fma", "avx2"}),
}
PLAIN = "plain"  # in C alone, slower than float32: what tests compare the others with

_CPUINFO = Path("/proc/cpuinfo")
# arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA): Documentation/arch/x86/xstate.rst of Linux.
_ARCH_PRCTL, _ASK_FOR_STATE, _TILE_DATA = 158, 0x1023, 18


def best(cpuinfo: Path = _CPUINFO) -> str | None:
    """Return the fastest kernel that a processor has, or None if it has none."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return None
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    able = (name for name, needed in KERNELS.items() if needed <= {*flags})
    return next((name for name in able if name != TILES or may_use_tiles()), None)


@functools.cache
def may_use_tiles() -> bool:
    """Ask Linux for the tiles of AMX, which are a process's own only once it has asked."""
    refused: int = ctypes.CDLL(None).syscall(_ARCH_PRCTL, _ASK_FOR_STATE, _TILE_DATA)
    return not refused


def digest_file(library: Path) -> Path:
    """Return the file that holds the SHA-256 of a library."""
    return library.with_name(f"{library.name}.sha256")


def fault(library: Path | None = None) -> str | None:
    """Return why the operators cannot be used here, in words that follow a colon, or None.

    They are those of `LIBRARY` unless another library is given.
    """
    library = library or LIBRARY
    try:
        content, digest = library.read_bytes(), digest_file(library).read_text()
    except FileNotFoundError:
        return "the operators are not built: run python -m app.operators.build"
    except (OSError, UnicodeDecodeError) as error:
        return f"the operators cannot be read: {error}"
    # A library that is cut short would end the process that opens it.
    if hashlib.sha256(content).hexdigest() != digest:
        return f"{library} is not as it was built: run python -m app.operators.build"
    try:
        operators, _ = _chosen(library)
        _kernel(operators)  # is missing in a library of another version
    except (OSError, ValueError) as error:
        return f"the operators cannot be loaded: {error}"
    return None if best() is not None else "the processor has no AVX2"


def register(
    options: "onnxruntime.SessionOptions", library: Path | None = None, kernel: str | None = None
) -> None:
    """Make a session able to open graphs with the operators, by the fastest kernel or one by name.

    Raises: an error of ONNX Runtime's if there is a `fault`.
    """
    if kernel == TILES:
        may_use_tiles()
    operators, chosen = _chosen(library or LIBRARY)
    chosen.value = ctypes.addressof(_kernel(operators, kernel))
    options.register_custom_ops_library(str(library or LIBRARY))


def _chosen(library: Path) -> tuple[ctypes.CDLL, ctypes.c_void_p]:
    """Return a library, and its pointer to the operator that is registered next."""
    operators = ctypes.CDLL(str(library))
    return operators, ctypes.c_void_p.in_dll(operators, "operators_kernel")


def _kernel(operators: ctypes.CDLL, name: str | None = None) -> ctypes.c_char:
    """Return the operator of a kernel, of the fastest unless one is named."""
    return ctypes.c_char.in_dll(operators, name or best() or PLAIN)
