"""The operators under the compilers' sanitizers: addresses, and undefined behaviour."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.operators import build
from tests.support import operators
from tools import process

# Shapes around every edge, with every kernel, attribute and number of threads. Without ONNX
# Runtime's arena the sanitizer knows the end of each allocation.
PROGRAM = """
import sys
from pathlib import Path

import numpy as np

from tests.support.operators import Operators, kernels

run = Operators(Path(sys.argv[1]), arena=False)
random = np.random.default_rng(5)

def drawn(*shape):
    return random.normal(size=shape).astype(np.float32)

for kernel in kernels():
    for depth, middle in ((1, 1), (31, 33), (384, 385), (417, 64)):
        weights = [drawn(depth, middle), drawn(depth, middle), drawn(middle, depth)]
        biases = [drawn(one.shape[1]) for one in weights]
        for rows in (0, 1, 7, 29, 100):
            x = drawn(rows, depth)
            if rows > 2:
                x[1], x[2, -1] = 3e38, np.nan
            for threads in (1, 3):
                how = {"kernel": kernel, "threads": threads}
                run.products(x, weights[:2], biases[:2], **how)
                run.feed_forward(x, weights[::2], activation=1, **how)
                run.feed_forward(x, weights, biases, activation=3, **how)
print("done")
"""


@pytest.mark.slow
def test_nothing_is_read_or_written_out_of_bounds(tmp_path: Path) -> None:
    if (found := operators.obstacle()) is not None:
        pytest.skip(found)
    flags = "-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined"
    build.build(tmp_path / "operators.so", *flags.split())
    preloaded = subprocess.run(
        [*build.compiler(), "-print-file-name=libasan.so"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    # Python and ONNX Runtime keep what they allocate, and mix C++'s allocators.
    options = "detect_leaks=0:alloc_dealloc_mismatch=0"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "operators.so")],
        cwd=process.ROOT,
        env=process.variables({"LD_PRELOAD": preloaded, "ASAN_OPTIONS": options}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "done\n", done.stderr[-4000:]
    assert done.returncode == 0
