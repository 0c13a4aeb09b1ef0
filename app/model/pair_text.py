"""Pair text: a pair of texts as the one text that a model with a chat template reads.

The export finds out what the template puts around both texts; the server needs no template.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PairText:
    """The text around a query and a document, and the ending of a text that was cut."""

    before: str
    between: str
    after: str
    document_first: bool = False
    trims: bool = False  # whether white space around either text is removed
    ending: tuple[int, ...] = ()  # token ids

    def text(self, query: str, document: str) -> str:
        """Return the one text, to which no tokenizer adds special tokens."""
        if self.trims:
            query, document = query.strip(), document.strip()
        first, second = (document, query) if self.document_first else (query, document)
        return f"{self.before}{first}{self.between}{second}{self.after}"

    def ended(self, ids: Sequence[int], length: int) -> list[int]:
        """Return the ids of a text that may have been cut to `length`, ending in `ending` if so.

        The ending replaces as many tokens, as in sentence-transformers 5.7
        (base/modules/transformer.py, `_restore_chat_template_suffix`).
        """
        if len(ids) < length or not self.ending:
            return list(ids)
        ending = self.ending[-len(ids) :]
        return [*ids[: len(ids) - len(ending)], *ending]
