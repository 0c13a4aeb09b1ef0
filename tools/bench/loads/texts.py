"""The bench's texts: each is asked once, so that no figure comes out of a cache."""

import random
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from threading import Lock

from tools.texts import words

QUERY_WORDS, PASSAGE_WORDS = (3, 25), (60, 120)
CHUNK = 64  # passages from which batches of like length are made
_GOLDEN = 0.618034  # the fractional parts of its multiples are spread evenly, wherever one stops
_TRIES = 20  # attempts before a text is made a word longer


class Fresh:
    """Passages of a range of lengths, none handed out twice, and equal for equal seeds.

    Their lengths are spread evenly in any stretch of them. Threads may share it.
    """

    def __init__(
        self, lengths: tuple[int, int], seed: int, suits: Callable[[str], bool] | None = None
    ) -> None:
        """`lengths` are the fewest and the most words; texts that do not suit are skipped."""
        self._fewest, self._most = lengths
        self._suits = suits
        self._words = words()
        self._choose = random.Random(seed)
        self._made: set[str] = set()
        self._ahead: deque[str] = deque()
        self._lock = Lock()

    def ahead(self, count: int) -> list[str]:
        """Return the next texts without taking them."""
        with self._lock:
            while len(self._ahead) < count:
                self._ahead.append(self._make())
            return list(islice(self._ahead, count))

    def take(self, count: int) -> list[str]:
        """Take the next texts, which are never handed out again."""
        found = self.ahead(count)
        with self._lock:
            for _ in found:
                self._ahead.popleft()
        return found

    def _make(self) -> str:
        spread = len(self._made) * _GOLDEN % 1
        size, tries = self._fewest + int((self._most - self._fewest + 1) * spread), 0
        while True:
            tries += 1
            start = self._choose.randrange(len(self._words) - size)
            text = " ".join(self._words[start : start + size])
            if text not in self._made and (self._suits is None or self._suits(text)):
                self._made.add(text)
                return text
            size += tries % _TRIES == 0


def in_words(texts: Sequence[str], vocabulary: Sequence[str]) -> list[str]:
    """Return texts of the same lengths in words of a vocabulary, no two alike in a stretch.

    A model with few words reads most texts alike, and equal texts in flight are computed once.
    """
    base = len(vocabulary)
    return [
        " ".join(vocabulary[number // base**at % base] for at in range(len(text.split())))
        for number, text in enumerate(texts)
    ]


def by_length(texts: Sequence[str]) -> list[str]:
    """The same texts, the shorter ones of each chunk first."""
    chunks = (texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK))
    return [text for chunk in chunks for text in sorted(chunk, key=len)]
