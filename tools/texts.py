"""Real English prose that every Python carries: its language reference, cut at random places."""

import random
import re
from pydoc_data.topics import topics


def passages(count: int, longest_words: int, seed: int = 0) -> list[str]:
    """`count` different passages of 1 to `longest_words` words, the same for the same seed."""
    every = words()
    choose = random.Random(seed)
    found = []
    for place in range(count):
        size = 1 + (longest_words - 1) * place // max(1, count - 1)
        start = choose.randrange(len(every) - size)
        found.append(" ".join(every[start : start + size]))
    choose.shuffle(found)
    return found


def words() -> list[str]:
    """All words, in the order in which they stand there."""
    return re.split(r"\s+", " ".join(topics[name] for name in sorted(topics)))
