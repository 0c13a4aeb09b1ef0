"""Model name: what answers call the model, and what requests may call it."""

import logging

logger = logging.getLogger(__name__)

MOST_REMEMBERED = 100  # names that were warned of
_LONGEST_SHOWN = 100  # characters of one: it is a client's text


class ModelName:
    """The name that answers give, and the others that the model is known by.

    A request may ask for any model, and gets the only one there is; a name that is not this one's
    is warned of, in TEI 1.9.3's words. TEI does so at each request; here once for each name, since
    one client with another name would fill the log. It lives on one event loop.
    """

    def __init__(self, served: str, *others: str) -> None:
        self.served = served
        self._known = {"", served, *others}
        self._warned: set[str] = set()

    def look_at(self, asked: str | None) -> None:
        """Warn of a model that is asked for and is not here, unless it was warned of before."""
        if asked is None or asked in self._known:
            return
        shown = asked if len(asked) <= _LONGEST_SHOWN else f"{asked[:_LONGEST_SHOWN]}…"
        if shown in self._warned:
            return
        if len(self._warned) == MOST_REMEMBERED:
            self._warned.clear()
        self._warned.add(shown)
        logger.warning(
            "The provided `model=%s` has not been found, the `model` parameter should be provided "
            "either empty or with `model=%s` instead.",
            shown,
            self.served,
        )
