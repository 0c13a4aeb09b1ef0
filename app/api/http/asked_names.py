"""Asked names: the model names that requests give, with a warning about foreign ones."""

import logging

from app.api.shapes.model_name import split_side
from app.errors import LONGEST_NAME
from app.inference.served_model import ServedModel

logger = logging.getLogger(__name__)

MOST_REMEMBERED = 100  # names that were warned about


class AskedNames:
    """The foreign names that requests have given so far.

    A request may name any model, and gets the only one; a name that is not this one's is logged as
    a warning in TEI 1.9.3's words. TEI does so at each request; here once for each name, since one
    client with a wrong name would fill the log. Lives on one event loop.
    """

    def __init__(self) -> None:
        self._warned: set[str] = set()

    def heed(self, asked: str, model: ServedModel) -> None:
        """Warn about the name of a model that is not served, unless that was done before."""
        if asked in model.names or split_side(asked)[0] in model.names:
            return
        shown = asked if len(asked) <= LONGEST_NAME else f"{asked[:LONGEST_NAME]}…"
        if shown in self._warned:
            return
        if len(self._warned) == MOST_REMEMBERED:
            self._warned.clear()
        self._warned.add(shown)
        logger.warning(
            "The provided `model=%s` has not been found, the `model` parameter should be provided "
            "either empty or with `model=%s` instead.",
            shown,
            model.name,
        )
