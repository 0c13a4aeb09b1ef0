"""python -m tools.models: write the table of docs/models.md from what the tests measured."""

import sys

from tools.models.real_models import REAL_MODELS
from tools.models.results import PAGE, Result, write_page
from tools.models.tiny_models import TINY_MODELS


def main() -> int:
    """Write the table; return 1 if a model was not measured."""
    names = [real.name for real in REAL_MODELS] + [tiny.name for tiny in TINY_MODELS]
    try:
        results = [Result.load(name) for name in names]
    except OSError as error:
        sys.stderr.write(f"{error.filename} is missing: run `make test-models` first\n")
        return 1
    write_page(results)
    sys.stdout.write(f"{PAGE}: {len(results)} models\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
