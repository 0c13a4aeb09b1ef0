"""Progress: the numbered lines that an export prints."""

import logging

logger = logging.getLogger("export")

_STEPS = 6


def announce(step: int, sentence: str) -> None:
    """Say what is being done now."""
    logger.info("[%d/%d] %s", step, _STEPS, sentence)
