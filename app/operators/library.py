"""Library: the compiled operators, whether they can be used here, and how a session gets them."""

import ctypes
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

FOLDER = Path(__file__).resolve().parent
LIBRARY = FOLDER / "operators.so"
DOMAIN = "app.operators"  # of the operators, in a graph

KERNELS = ("avx512_vnni", "avx_vnni", "avx2")  # by their speed; all give the same answers
PLAIN = "plain"  # in C alone, slower than float32: what tests compare the others with

# By their numbers in operators.c.
_NUMBERED = ("", PLAIN, *reversed(KERNELS))


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
        find = ctypes.CDLL(str(library)).operators_fault
    except (OSError, AttributeError) as error:
        return f"the operators cannot be loaded: {error}"
    find.restype = ctypes.c_char_p
    found: bytes | None = find()
    return None if found is None else found.decode()


def register(options: "onnxruntime.SessionOptions", library: Path | None = None) -> None:
    """Make a session able to open graphs with the operators.

    Raises: an error of ONNX Runtime's if there is a `fault`.
    """
    options.register_custom_ops_library(str(library or LIBRARY))


def choose(kernel: str, library: Path | None = None) -> None:
    """Have sessions that this process opens from now on use a kernel, "" being the best."""
    operators = ctypes.CDLL(str(library or LIBRARY))
    ctypes.c_int.in_dll(operators, "operators_kernel").value = _NUMBERED.index(kernel)
