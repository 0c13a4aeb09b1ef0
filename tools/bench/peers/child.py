"""A peer without a port: a process that reads texts and prints vectors, or its rate."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.bench.rate import Rate
from tools.process import ROOT, end, start

REFERENCE, COMPILED = "tools.bench.peers.reference", "tools.bench.peers.compiled"


class Child:
    """`python -m MODULE FOLDER …`, which answers line by line as `answering` says."""

    def __init__(self, module: str, folder: Path, *arguments: str) -> None:
        self._module = module
        self.process = start(
            [sys.executable, "-m", module, str(folder), *arguments],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one vector for each text, (N, D)."""
        return np.array(self._ask(vectors=list(texts)), np.float32)

    def rate(self, texts: Sequence[str], rows: int, seconds: float) -> Rate:
        """Return its rate with this many texts per call."""
        return Rate(*self._ask(texts=list(texts), rows=rows, seconds=seconds))

    def _ask(self, **asked: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(asked), file=self.process.stdin, flush=True)
        if not (line := self.process.stdout.readline()):
            raise RuntimeError(f"{self._module} ended; what it printed says why")
        return json.loads(line)


@contextmanager
def child(module: str, folder: Path, *arguments: str) -> Iterator[Child]:
    """Start a child, which ends with the block."""
    found = Child(module, folder, *arguments)
    try:
        yield found
    finally:
        end(found.process)
