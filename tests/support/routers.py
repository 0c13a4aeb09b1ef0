"""Models with routes, exported and served, compared with the library that made them."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.application import build, create_app
from app.options.settings import Settings
from tools.asgi import post
from tools.client import Reply

TEXTS = [
    "ok",
    "the the capital capital of France",  # a repeated token counts once
    "[CLS] and [SEP] written out, and [PAD]",
    "A man is playing a guitar on a small stage. " * 20,  # longer than the routes take
    "αβγ 你好 café",
]
Ask = Callable[..., Reply]


@contextmanager
def served(folder: Path, **options: Any) -> Iterator[Ask]:
    """A function that asks the service over a folder."""
    settings = Settings(model_id=str(folder), provider="cpu", dtype="float32", **options)
    service = build(settings, folder)
    application = create_app(service, settings)

    def ask(path: str, /, **body: Any) -> Reply:
        return post(application, path, body)

    try:
        yield ask
    finally:
        asyncio.run(service.model.close())


def library_s(checkpoint: Path, call: str, **options: Any) -> NDArray[np.float32]:
    """Return the texts' vectors by one of the library's calls, (N, D)."""
    from sentence_transformers import SentenceTransformer, SparseEncoder

    settings = json.loads((checkpoint / "config_sentence_transformers.json").read_text())
    is_sparse = settings["model_type"] == "SparseEncoder"
    library: Any = SparseEncoder if is_sparse else SentenceTransformer
    model = library(str(checkpoint), device="cpu", local_files_only=True)
    sparse = {"convert_to_sparse_tensor": False} if is_sparse else {}
    # One at a time: padding and a written [PAD] are one token to the library.
    found = [getattr(model, call)([text], **sparse, **options)[0] for text in TEXTS]
    return np.array([np.asarray(one) for one in found], np.float32)


Models = Callable[[str], tuple[Path, Path]]
