"""`python -m app`: the program, which signals can end from the first moment on."""

import os
from types import FrameType

from app.server import signals
from app.telemetry import standard_files


def main() -> None:
    """Run the program; it never returns."""
    standard_files.open_missing()
    signals.heed(_leave)
    from app import program  # takes a second or so

    program.run_to_end()


def _leave(number: int, _: FrameType | None) -> None:
    """End at once: nothing has begun, and process 1 of a container would ignore the signal."""
    os._exit(128 + number)


if __name__ == "__main__":
    main()
