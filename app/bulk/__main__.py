"""Entry point: `python -m app.bulk INPUT… --output FOLDER --model-id MODEL`.

Exits with 0 when every row is written or rejected, with 2 for bad usage, with 1 when the job cannot
go on, after a line on standard error that says why, and with 128 and the signal's number after one.
"""

import os
import sys
from types import FrameType
from typing import NoReturn

from app.server import signals
from app.telemetry.last_words import leave


def main() -> int:
    """Run the job; return the exit code."""
    signals.heed(_leave)
    try:
        from app.bulk import program
    except ImportError as error:
        needed = "bulk jobs need the extra bulk, pip install 'embedding-service[bulk]'"
        sys.stderr.write(f"Error: {needed}: {error}\n")
        return 1
    return program.main(sys.argv[1:], os.environ)


def run_to_end() -> NoReturn:
    """Run the job, and exit with its code, whatever native threads are at."""
    try:
        code = main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    leave(code)


def _leave(number: int, _: FrameType | None) -> None:
    """Exit on a signal before the job runs; unfinished files are removed on the way out."""
    sys.exit(128 + number)


if __name__ == "__main__":
    run_to_end()
