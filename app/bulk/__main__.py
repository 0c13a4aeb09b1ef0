"""Entry point: `python -m app.bulk INPUT… --output FOLDER --model-id MODEL`.

Exits with 0 when every row is written or rejected, with 2 for bad usage, with 1 when the job cannot
go on, after a line on standard error that says why, and with 128 and the signal's number after one.
"""

import os
import sys


def main() -> int:
    """Run the job; return the exit code."""
    try:
        from app.bulk import program
    except ImportError as error:
        needed = "bulk jobs need the extra bulk, pip install 'embedding-service[bulk]'"
        sys.stderr.write(f"Error: {needed}: {error}\n")
        return 1
    return program.main(sys.argv[1:], os.environ)


if __name__ == "__main__":
    sys.exit(main())
