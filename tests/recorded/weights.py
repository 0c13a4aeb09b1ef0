"""The weights of the models that TEI answered with: a generator for each tensor."""

import shutil
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.recorded import CHECKPOINTS

SEED = 20240229


def checkpoint(model: str, folder: Path) -> Path:
    """Make the checkpoint of one of the MODELS in a folder that is not there yet."""
    import torch
    import transformers

    library: Any = transformers  # its classes carry no types
    shutil.copytree(CHECKPOINTS / model, folder)
    config = library.AutoConfig.from_pretrained(folder)
    made = getattr(library, config.architectures[0])(config)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.copy_(torch.from_numpy(_drawn(name, tuple(parameter.shape))))
    config_file = (CHECKPOINTS / model / "config.json").read_bytes()
    made.save_pretrained(folder)
    (folder / "config.json").write_bytes(config_file)
    return folder


def _drawn(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return random values wide enough for texts to differ, with small shared parts."""
    drawn = np.random.default_rng([SEED, zlib.crc32(name.encode())]).standard_normal(shape)
    if len(shape) == 1:
        drawn = 0.05 * drawn if name.endswith("bias") else 1 + 0.1 * drawn
    elif "position_embeddings" in name or "token_type_embeddings" in name:
        drawn *= 0.15
    elif "embed" not in name:
        drawn = 2.0 * drawn / np.sqrt(shape[-1])
    return drawn.astype(np.float32)
