"""Choices: an array of some of a few words."""

from dataclasses import dataclass
from typing import Any

from app.api.shapes.fields import Misfit, wrong_type


@dataclass(frozen=True, slots=True)
class SeveralOf:
    """One or more of these words, each read once however often it is given.

    `name` is that of a word's schema.
    """

    words: tuple[str, ...]
    name: str

    def __call__(self, value: Any) -> tuple[str, ...]:
        """Return the words that are given, in the order in which they are declared."""
        allowed = ", ".join(f"`{word}`" for word in self.words)
        if type(value) is not list:
            raise wrong_type(value, f"an array of {allowed}")
        for one in value:
            if type(one) is not str:
                raise wrong_type(one, f"one of {allowed}")
            if one not in self.words:
                raise Misfit(f"unknown variant `{one}`, expected one of {allowed}")
        if not value:
            raise Misfit(f"invalid length 0, expected at least one of {allowed}")
        return tuple(word for word in self.words if word in value)
