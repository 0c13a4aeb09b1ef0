"""Prose: real English text of many lengths, from the reference manual that comes with Python.

A lower precision costs a neighbour here and there, which shows only over many texts that are
about the same things. The texts that were used are stored with the model, so nothing depends on
which Python's manual they came from.
"""

from collections.abc import Iterator
from itertools import cycle
from pydoc_data.topics import topics

_WORDS = (8, 4, 16, 3, 24, 6, 12, 40, 5, 20, 7, 64, 10, 4, 14, 28)
_LEAST_WORDS = 12  # of a paragraph; shorter ones are headings and the like


def sample(count: int) -> tuple[str, ...]:
    """So many texts, all different, spread over the manual; of 3 to 64 words, shortest first.

    A proof runs neighbours in one batch, and these are not for showing what padding does.
    """
    paragraphs = list(dict.fromkeys(_paragraphs()))
    chosen = [paragraphs[i * len(paragraphs) // count] for i in range(count)]
    cut = (" ".join(text.split()[:words]) for text, words in zip(chosen, cycle(_WORDS)))
    return tuple(sorted(dict.fromkeys(cut), key=len))


def _paragraphs() -> Iterator[str]:
    """Paragraphs of sentences; code and tables are indented, headings underlined."""
    for name in sorted(topics):
        for block in topics[name].split("\n\n"):
            lines = block.splitlines()
            if not lines or any(line[:1] in {" ", "*", "=", "-", "^", "|", "+"} for line in lines):
                continue
            text = " ".join(lines)
            if len(text.split()) >= _LEAST_WORDS:
                yield text
