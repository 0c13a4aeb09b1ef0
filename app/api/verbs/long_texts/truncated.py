"""Truncated: the headers that name the inputs of which something was left out."""

from collections.abc import Sequence

MOST_NAMED = 100  # inputs, of which a header gives the indexes


def truncation_headers(truncated: Sequence[int]) -> list[tuple[bytes, bytes]]:
    """Return how many inputs were cut and the indexes of the first; nothing if none was."""
    if not truncated:
        return []
    indexes = ",".join(map(str, truncated[:MOST_NAMED])).encode()
    return [(b"x-truncated-inputs", b"%d" % len(truncated)), (b"x-truncated-indexes", indexes)]
