"""Build: `python -m app.operators.build [FILE]` compiles the operators where they can be used.

Without a compiler, or on another processor than x86-64, nothing is built, and float32 is served.
"""

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.operators.library import FOLDER, LIBRARY, digest_file

# No contraction: it would round once where another kernel rounds twice. Without errno and traps,
# which nothing reads, loops over roundings and comparisons become vectors.
FLAGS = (
    "-std=gnu11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
    "-fvisibility=hidden", "-fPIC", "-pthread", "-Wall", "-Wextra", "-Wno-unused-parameter",
)  # fmt: skip
# The kernels: how many lanes of 32 bits a vector has, how many rows of sums the registers hold, and
# for which instructions the operator is compiled.
KERNELS: Mapping[str, tuple[int, int, Sequence[str]]] = {
    "plain": (4, 6, ()),
    "avx2": (8, 6, ("-mavx2", "-mfma")),
    "avx_vnni": (8, 6, ("-mavx2", "-mfma", "-mavxvnni")),
    "avx512_vnni": (16, 12, ("-mfma", "-mavx512bw", "-mavx512vl", "-mavx512vnni")),
    "amx_int8": (16, 16, ("-mfma", "-mavx512bw", "-mavx512vl", "-mamx-tile", "-mamx-int8")),
}


def obstacle() -> str | None:
    """Return why the operators cannot be built here, or None."""
    here = f"{platform.system()} on {platform.machine()}"
    if here != "Linux on x86_64":
        return f"the operators are for Linux on x86_64, and this is {here}"
    if shutil.which(compiler()[0]) is None:
        return f"there is no C compiler ({compiler()[0]})"
    return None


def compiler() -> list[str]:
    """Return the command of the C compiler: CC, or cc."""
    return shlex.split(os.environ.get("CC", "")) or ["cc"]


def build(library: Path = LIBRARY, *flags: str) -> None:
    """Compile the operators into a file, with its digest beside it.

    Raises: subprocess.CalledProcessError if the compiler fails; it has said why.
    """
    library.parent.mkdir(parents=True, exist_ok=True)
    partial = library.with_name(f".{library.name}.{os.getpid()}")
    with tempfile.TemporaryDirectory() as folder:
        objects = [_compile("register.c", Path(folder) / "register.o", *flags)]
        for kernel, (lanes, rows, instructions) in KERNELS.items():
            defined = (f"-DKERNEL={kernel}", f"-DLANES={lanes}", f"-DMOST_ROWS={rows}")
            made = Path(folder) / f"{kernel}.o"
            objects.append(_compile("operators.c", made, *defined, *instructions, *flags))
        try:
            _run("-shared", *flags, "-o", str(partial), *objects, "-lm")
            digest_file(library).write_text(hashlib.sha256(partial.read_bytes()).hexdigest())
            partial.rename(library)
        finally:
            partial.unlink(missing_ok=True)


def _compile(source: str, made: Path, *flags: str) -> str:
    _run(*FLAGS, *flags, "-c", str(FOLDER / source), "-o", str(made))
    return str(made)


def _run(*arguments: str) -> None:
    subprocess.run([*compiler(), *arguments], check=True)  # noqa: S603  # our own, and CC


def main(arguments: Sequence[str]) -> int:
    """Run the program, and return its exit status: 1 if the compiler fails."""
    why_not = obstacle()
    if why_not is not None:
        print(f"int16, faster than float32, will not be there: {why_not}")  # noqa: T201
        return 0
    try:
        build(Path(arguments[0]) if arguments else LIBRARY)
    except subprocess.CalledProcessError:
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
