"""Outlet: lines for a reader that may stall, written so that a logging thread never waits.

A line is written at once if possible. Otherwise it is held for a thread to write, and if too much
is held, it is dropped and counted. Order is kept, and a line says where others are missing.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from select import PIPE_BUF

from app.telemetry.standard_files import RETRY_SECONDS, is_writable, may_wait, write_now

HELD_BYTES = 1 << 20  # some 4,000 lines


class Outlet:
    """Lines to an open file, by its descriptor, from any thread."""

    def __init__(
        self, number: int, missing: Callable[[int], bytes], held_bytes: int = HELD_BYTES
    ) -> None:
        """Write to `number`; `missing` makes the line that says how many were dropped before it."""
        self.dropped = 0  # lines
        self._number = number
        self._missing = missing
        self._limit = held_bytes
        self._lines: deque[bytes] = deque()
        self._held = 0  # bytes in them
        self._is_full = False
        self._untold = 0  # dropped lines that no line has reported yet
        # Reentrant, as a destructor may log on the thread that holds the lock.
        self._lock = threading.RLock()
        self._is_taken = False  # a thread is writing, and will write what is held
        self._is_threaded = False
        self._is_direct = True
        self._waits = True  # assumed until known
        self._wanted: SimpleQueue[None] = SimpleQueue()

    def start(self) -> None:
        """Start the thread that writes held lines; it ends with the process."""
        threading.Thread(target=self._write_held, name="log", daemon=True).start()
        with self._lock:
            self._waits = may_wait(self._number)
            self._is_direct = not self._waits
            self._is_threaded = True
            self._serve()

    def put(self, line: bytes) -> None:
        """Write a line that ends in a new line, hold it, or drop it."""
        with self._lock:
            if not self._is_direct or self._is_taken or self._lines or self._untold:
                self._hold(line)
            else:
                self._write_or_hold(line)
            if self._lines and not self._is_taken:
                self._serve()

    def flush(self, seconds: float) -> bool:
        """Wait up to `seconds` until all is written; return whether it is."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if self._lock.acquire(timeout=left):
                try:
                    if not self._is_taken:
                        self._serve()
                    if not self._lines:
                        return True
                finally:
                    self._lock.release()
            time.sleep(RETRY_SECONDS)
        return False

    def _write_or_hold(self, line: bytes) -> None:
        """Write a line if none is held before it, and hold what is left of it."""
        self._is_taken = True
        try:
            written = self._write(line)
        finally:
            self._is_taken = False
        if written is None:
            self._drop(1)
        elif written < len(line):
            self._held += len(line) - written
            self._lines.appendleft(line[written:])

    def _hold(self, line: bytes) -> None:
        if self._is_full and self._held <= self._limit // 2:  # at half, and not line by line
            self._is_full = False
            self._own_up()
        if self._is_full or self._held + len(line) > self._limit:
            self._is_full = True
            self._drop(1)
        else:
            self._append(line)

    def _append(self, line: bytes) -> None:
        size = len(line)
        self._held += size
        self._lines.append(line)

    def _drop(self, lines: int) -> None:
        self.dropped += lines
        self._untold += lines

    def _own_up(self) -> None:
        """Report how many lines are missing here, if any are."""
        if self._untold:
            line, self._untold = self._missing(self._untold), 0
            self._append(line)

    def _serve(self) -> None:
        """Write what can be written at once, and leave the rest to the thread."""
        self._is_taken = True
        try:
            while self._is_direct and (part := self._next()):
                written = self._write(part)
                self._settle(part, written)
                if written is not None and written < len(part):
                    break
        finally:
            self._is_taken = self._is_threaded and bool(self._lines)
        if self._is_taken:
            self._wanted.put(None)

    def _write_held(self) -> None:
        while True:
            self._wanted.get()
            while part := self._next_or_rest():
                is_writable(self._number, None)
                written = self._write(part)  # without the lock: a disk may be slow
                with self._lock:
                    self._settle(part, written)
                if written == 0:
                    time.sleep(RETRY_SECONDS)

    def _next_or_rest(self) -> bytes:
        """Return what the thread is to write next; if that is nothing, let others write."""
        with self._lock:
            part = self._next()
            self._is_taken = bool(part)
            return part

    def _next(self) -> bytes:
        """Return the next lines, up to what a pipe takes in one piece, but at least one."""
        count = size = 0
        while count < len(self._lines):
            size += len(self._lines[count])
            if count and size > PIPE_BUF:
                break
            count += 1
        if count == 1:
            return self._lines[0]
        return b"".join([self._lines[place] for place in range(count)])

    def _write(self, part: bytes) -> int | None:
        """Return how many bytes were written, or None if they never can be."""
        try:
            return write_now(self._number, part, waits=self._waits)
        except OSError:  # a full disk, or a closed pipe
            return None

    def _settle(self, part: bytes, written: int | None) -> None:
        """Release what was written or is lost."""
        if written is None:
            self._drop(self._forget(len(part)))
            return
        self._forget(written)
        if written and not self._lines:
            self._own_up()

    def _forget(self, size: int) -> int:
        """Release that many bytes, perhaps in the middle of a line; return how many lines ended."""
        self._held -= size
        lines = 0
        while size:
            line = self._lines.popleft()
            if len(line) > size:
                self._lines.appendleft(line[size:])
                break
            size -= len(line)
            lines += 1
        return lines
