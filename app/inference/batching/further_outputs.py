"""Further outputs: those that the serving graph lacks, and the session that computes them.

A graph made for a provider may yield nothing but a text's vector. The folder's first graph yields
more, such as a vector for each token, and is opened beside it when that is first asked for: in a
thread of its own, while everything else is served on.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from app.errors import BackendFailed, StartupError
from app.inference.providers.session import Session

logger = logging.getLogger(__name__)


class FurtherOutputs:
    """The sessions of a model, and what they do not compute yet; lives on one event loop."""

    def __init__(self, sessions: Sequence[Session], add: Callable[[str], None]) -> None:
        """Take the sessions, and what adds one to each that computes an output; it takes long."""
        self._sessions = sessions
        self._add = add
        self._ready: set[str] = set()  # outputs that every session computes
        self._adding: asyncio.Task[None] | None = None
        self._failure: str | None = None  # permanent: later requests must not wait as well

    async def ready(self, output: str) -> None:
        """Return once every session computes an output; who asks first waits until it is opened.

        Raises: BackendFailed if it cannot be opened.
        """
        if output in self._ready:
            return
        if all(session.yields(output) for session in self._sessions):
            self._ready.add(output)
            return
        if self._adding is None:
            self._adding = asyncio.create_task(self._open(output))
        await asyncio.shield(self._adding)  # who leaves does not end it for others
        if self._failure is not None:
            raise BackendFailed(f"Backend error: {output} cannot be computed: {self._failure}")

    async def _open(self, output: str) -> None:
        logger.info("Opening a session for %s, beside the one that serves", output)
        try:
            await asyncio.to_thread(self._add, output)
        except Exception as error:  # whatever failed, the first session goes on
            self._failure = str(error) or repr(error)
            unexpected = not isinstance(error, StartupError)
            logger.error("no session computes %s: %s", output, self._failure, exc_info=unexpected)
