"""The README's code blocks, as a reader would copy them."""

import re

from tools.process import ROOT

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(language: str, name: str = "README.md") -> list[str]:
    """Return the contents of all blocks in a language."""
    return [text for kind, text in _BLOCK.findall((ROOT / name).read_text()) if kind == language]


def commands(name: str = "README.md") -> list[str]:
    """Return every line that a reader is to type into a shell."""
    return [line for block in blocks("sh", name) for line in block.splitlines()]
