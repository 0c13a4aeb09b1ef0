"""`python -m tools.bench.peers.compiled FOLDER DTYPE THREADS`: the model compiled by torch.

The yardstick of the model: `torch.compile` with frozen weights, in float32 or under autocast to
bfloat16, on THREADS threads, without a server. It answers as `answering` says.
"""

import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from tools.bench.peers.answering import answer
from tools.texts import passages

_LEARNED = ((1, 60), (16, 4))  # warm-up: rows of a call, and number of calls


class Compiled:
    """A compiled encoder between sentence-transformers' tokenizer and its pooling."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self._model = SentenceTransformer(
            str(folder), device="cpu", model_kwargs={"attn_implementation": "sdpa"}
        ).eval()
        transformer = self._model[0]
        transformer.model = torch.compile(
            transformer.model, dynamic=True, options={"freezing": True}
        )
        self._bfloat16 = dtype == "bfloat16"
        for rows, calls in _LEARNED:
            texts = passages(rows * calls, 120, seed=rows)
            for place in range(0, len(texts), rows):
                self._embed(texts[place : place + rows])

    def encode(
        self, texts: list[str], *, batch_size: int, show_progress_bar: bool
    ) -> NDArray[np.float32]:
        """Return vectors of length 1, (N, D), computed in batches."""
        del show_progress_bar
        parts = [
            self._embed(texts[place : place + batch_size])
            for place in range(0, len(texts), batch_size)
        ]
        found: NDArray[np.float32] = torch.cat(parts).numpy()
        return found

    def _embed(self, texts: list[str]) -> torch.Tensor:
        autocast = torch.autocast("cpu", torch.bfloat16) if self._bfloat16 else nullcontext()
        with torch.no_grad(), autocast:
            vectors = self._model(self._model.preprocess(texts))["sentence_embedding"]
        return torch.nn.functional.normalize(vectors.float(), dim=1)


def main() -> None:
    """Answer the lines of stdin."""
    _, _, dtype, threads = sys.argv
    torch.set_num_threads(int(threads))
    answer(lambda folder: Compiled(folder, dtype))


if __name__ == "__main__":
    main()
