"""Tokenizer file: `tokenizer.json`, opened without padding."""

from pathlib import Path

from tokenizers import Tokenizer

from app.errors import StartupError
from app.model import bounded
from app.model.names import Side


def open_tokenizer(path: Path, side: Side | None = None, length: int = 0) -> Tokenizer:
    """The tokenizer without padding, and cutting on a side if one is named."""
    try:
        tokenizer = Tokenizer.from_buffer(bounded.read(path, bounded.MOST_TOKENIZER))
    except Exception as error:  # noqa: BLE001  # the library raises bare Exception
        reason = " ".join(str(error).split())
        raise StartupError(f"{path} cannot be loaded: {reason}") from None
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if side is not None:
        tokenizer.enable_truncation(length, direction=side)
    return tokenizer
