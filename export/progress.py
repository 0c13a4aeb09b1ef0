"""Progress: the lines that an export prints, numbered as its steps are, and marked where they warn.

The server starts steps of the export and tells their lines in its own log: by the mark it knows
which of them warn.
"""

import logging
import sys

logger = logging.getLogger("export")

_STEPS = 6
_WARNING = "warning: "


def announce(step: int, sentence: str) -> None:
    """Say what is being done now."""
    logger.info("[%d/%d] %s", step, _STEPS, sentence)


def print_lines() -> None:
    """Let events be lines of standard output, those of other libraries only where they warn."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Marked())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logger.setLevel(logging.INFO)


class _Marked(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno < logging.WARNING:
            return text
        return "\n".join(_WARNING + line for line in text.splitlines())
