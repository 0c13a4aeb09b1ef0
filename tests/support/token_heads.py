"""BGE-M3's heads for tokens, as FlagEmbedding saves them."""

from pathlib import Path

import torch

from export import pipeline
from export.cli import Request
from export.config import token_heads

SPARSE, COLBERT = token_heads.SPARSE_FILE, token_heads.MULTI_VECTOR_FILE


def save(path: Path, outputs: int, inputs: int = 32) -> None:
    torch.manual_seed(outputs)
    torch.save(torch.nn.Linear(inputs, outputs).state_dict(), path)


def export(folder: Path) -> Path:
    return pipeline.export(Request(str(folder), models_dir=folder.parent / "models"))
