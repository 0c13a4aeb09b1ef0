"""Score column: the weights by which a causal reranker computes its score from the last token."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """The output layer's row for one token, less the row for the other if there is one."""

    weight: NDArray[np.float32]  # (H,)
    bias: float = 0

    def write(self, path: Path) -> None:
        """Write it to a file, for another process."""
        np.savez(path, weight=self.weight, bias=np.float32(self.bias))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        with np.load(path, allow_pickle=False) as found:
            return cls(found["weight"], float(found["bias"]))
