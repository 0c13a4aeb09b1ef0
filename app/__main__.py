"""`python -m app`: the program, which signals can end from the first moment on."""

import os
import signal
import sys
from types import FrameType


def main() -> None:
    """Run the program; it never returns."""
    _open_standard_files()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    from app import program  # which takes a second or so

    program.end(program.main())


def _open_standard_files() -> None:
    """Put nothing where a supervisor closed them: a socket would take the place, and end there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123  # as long as we live
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123


def _leave(number: int, _: FrameType | None) -> None:
    """Nothing has begun yet; and as process 1 of a container we would ignore the signal."""
    os._exit(128 + number)


if __name__ == "__main__":
    main()
