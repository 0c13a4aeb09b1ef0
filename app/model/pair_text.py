"""Pair text: a pair of texts as the one text that a model with a chat template reads.

The export finds out what the template puts around both, and the server does the same without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PairText:
    """What stands around a query and a document, and what a text that was cut ends in."""

    before: str
    between: str
    after: str
    document_first: bool = False
    trims: bool = False  # whether white space around either text is left out
    ending: tuple[int, ...] = ()  # token ids

    def text(self, query: str, document: str) -> str:
        """The one text, which no tokenizer adds special tokens to."""
        if self.trims:
            query, document = query.strip(), document.strip()
        first, second = (document, query) if self.document_first else (query, document)
        return f"{self.before}{first}{self.between}{second}{self.after}"

    def ended(self, ids: Sequence[int], length: int) -> list[int]:
        """Token ids of a text, of which at most `length` were kept: a full one has the ending.

        It takes the place of as many tokens before it, as in sentence-transformers 5.7
        (base/modules/transformer.py, `_restore_chat_template_suffix`).
        """
        if len(ids) < length or not self.ending:
            return list(ids)
        ending = self.ending[-len(ids) :]
        return [*ids[: len(ids) - len(ending)], *ending]
