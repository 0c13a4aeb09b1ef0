"""Row store: rows that were computed, within a number of bytes.

Rows of one width share pages. When a page is needed and the bytes are taken, the oldest page goes;
of its rows those that were asked for again move on to the new page, up to half of a page, so that
no row is looked for a place for long. (CLOCK, by pages.)

Nothing here but the pages themselves is an object that the garbage collector visits: a million
rows would hold up the event loop at each of its full collections.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PAGE_BYTES = 64 * 1024
# Of a row beside its numbers: its key, twice, and its place in the index with what Python's
# objects take; `python -m tools.cache` measures it.
ENTRY_BYTES = 200
KEY_BYTES = 16
# A dictionary that grows is copied: one of 64 by the key's first byte takes a 64th of the time.
_SHARDS = 64
_SLOT_BITS = 9  # a page has fewer rows than 512


@dataclass(slots=True, eq=False)
class _Page:
    number: int
    cost: int  # bytes
    rows: NDArray[np.float32]  # (slots, width)
    keys: bytearray
    asked: bytearray  # by slot, whether it was asked for again
    filled: int = 0

    @property
    def is_full(self) -> bool:
        return self.filled == len(self.rows)

    def key(self, slot: int) -> bytes:
        return bytes(self.keys[slot * KEY_BYTES : (slot + 1) * KEY_BYTES])


class RowStore:
    """Keeps rows by keys of KEY_BYTES random bytes; lives on one event loop."""

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes; 0 keeps nothing, and counts neither hits nor misses."""
        self.limit = limit  # bytes
        self.bytes = 0  # of all pages, whether they are full or not
        self.rows = 0
        self.hits = self.misses = self.evictions = 0  # rows
        self._index: list[dict[bytes, int]] = [{} for _ in range(_SHARDS)]
        self._pages: dict[int, _Page] = {}  # by number, in ascending order
        self._open: dict[int, _Page] = {}  # by width: the page that is being filled
        self._oldest = self._next = 0

    def get(self, key: bytes) -> NDArray[np.float32] | None:
        """Return a copy of the row of a key, or None."""
        if not self.limit:
            return None
        place = self._index[key[0] % _SHARDS].get(key)
        if place is None:
            self.misses += 1
            return None
        self.hits += 1
        page, slot = self._pages[place >> _SLOT_BITS], place & ((1 << _SLOT_BITS) - 1)
        page.asked[slot] = 1
        row: NDArray[np.float32] = page.rows[slot].copy()
        return row

    def put(self, key: bytes, row: NDArray[np.float32]) -> None:
        """Keep a row, unless the key has one already or the row is larger than the store."""
        if not self.limit or key in self._index[key[0] % _SHARDS]:
            return
        page = self._open.get(len(row))
        if page is None or page.is_full:
            page = self._new_page(len(row))
            if page is None:
                return
        self._fill(page, key, row)
        self.rows += 1

    def _fill(self, page: _Page, key: bytes, row: NDArray[np.float32]) -> None:
        slot = page.filled
        page.rows[slot] = row
        page.keys[slot * KEY_BYTES : (slot + 1) * KEY_BYTES] = key
        page.filled += 1
        self._index[key[0] % _SHARDS][key] = page.number << _SLOT_BITS | slot

    def _new_page(self, width: int) -> _Page | None:
        """Open a page for rows of a width; return None if not even one row fits the store."""
        each = 4 * width + ENTRY_BYTES
        slots = min(max(1, PAGE_BYTES // each), self.limit // each)
        if not slots:
            return None
        self._open.pop(width, None)
        evicted = []
        while self.bytes + slots * each > self.limit:
            evicted.append(self._close_oldest())
        page = _Page(
            number=self._next,
            cost=slots * each,
            rows=np.empty((slots, width), np.float32),
            keys=bytearray(slots * KEY_BYTES),
            asked=bytearray(slots),
        )
        self._pages[page.number] = self._open[width] = page
        self._next += 1
        self.bytes += page.cost
        for one in evicted:
            self._move_rows(one)
        return page

    def _close_oldest(self) -> _Page:
        """Take away the oldest page, whose rows stay in the index."""
        page = self._pages.pop(self._oldest)
        self._oldest += 1
        self.bytes -= page.cost
        width = page.rows.shape[1]
        if self._open.get(width) is page:
            del self._open[width]
        return page

    def _move_rows(self, page: _Page) -> None:
        """Move rows that were asked for again to the open page of their width; forget the others.

        At most half of that page is filled so. It may be full already, if it is of another width
        than the page that was needed.
        """
        target = self._open.get(page.rows.shape[1])
        for slot in range(page.filled):
            key = page.key(slot)
            if page.asked[slot] and target is not None and 2 * target.filled < len(target.rows) - 1:
                self._fill(target, key, page.rows[slot])
            else:
                del self._index[key[0] % _SHARDS][key]
                self.rows -= 1
                self.evictions += 1
