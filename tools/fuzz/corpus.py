"""The bodies that fuzzing begins with, and that `make test` tries each time."""

from pathlib import Path

from tools.golden import EXCHANGES
from tools.soak.traffic import BAD_BODIES

# What fuzzing found: bodies that reach code no other does, and `crash-…`, those that failed.
FOUND = Path(__file__).parent / "corpus"
MOST_BYTES = 4096


def bodies() -> dict[str, bytes]:
    """Return every distinct body of the golden exchanges, the soak and the corpus, by name."""
    named = {f"golden {one.row}": one.content for one in EXCHANGES}
    named |= {f"soak {place}": content for place, (_, content, _) in enumerate(BAD_BODIES)}
    named |= {path.name: path.read_bytes() for path in sorted(FOUND.iterdir())}
    by_content = {content: name for name, content in named.items() if len(content) <= MOST_BYTES}
    return {name: content for content, name in by_content.items()}
