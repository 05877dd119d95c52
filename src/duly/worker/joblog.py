"""The tail of what a task logs, kept for the job's history.

It is written with the attempt's outcome. Of an attempt that takes longer, a thread of its own writes what there is
so far, so that one can read what it is doing, and what it did last when its process is killed.
"""

from __future__ import annotations

import logging
import threading
from collections import deque

from duly.errors import StoreError
from duly.request import Request, current
from duly.store import Store

TAIL_BYTES = 16 * 1024
SAVE_EVERY = 2.0  # seconds between two looks for attempts whose tail has grown; who has ended by then costs nothing
_FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


class JobLog(logging.Handler):
    """Collects, for each attempt that logs at all, the last TAIL_BYTES of it."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.tails: dict[Request, _Tail] = {}  # of running attempts
        self.setFormatter(_FORMAT)
        self._store = store
        self._ended = threading.Event()
        threading.Thread(target=self._save_tails, name="joblog", daemon=True).start()

    def close(self) -> None:
        """Save nothing any more."""
        self._ended.set()
        super().close()

    def emit(self, record: logging.LogRecord) -> None:
        request = current.get()
        if request is None or request.over:  # over: by something the task left running, or about its end
            return
        try:
            line = self.format(record).encode("utf-8", "backslashreplace")
        except Exception:  # arguments that do not fit the message; the other handlers report it
            return
        self.tails.setdefault(request, _Tail()).add(line)
        if request.over:  # it ended meanwhile, and nobody will take this
            self.tails.pop(request, None)

    def take(self, request: Request) -> bytes | None:
        """What the attempt logged, which is forgotten here."""
        tail = self.tails.pop(request, None)
        return None if tail is None else tail.text()

    def _save_tails(self) -> None:
        saved: dict[Request, int] = {}  # lines, of the attempts that were there at the last look
        while not self._ended.wait(SAVE_EVERY):
            saved = {request: self._save(request, tail, saved) for request, tail in self.tails.copy().items()}

    def _save(self, request: Request, tail: _Tail, saved: dict[Request, int]) -> int:
        """Write a tail that has grown and was there at the last look; gives how many of its lines are written."""
        before = saved.get(request)
        if before is None or before == tail.lines:
            return before or 0
        self.acquire()  # no line is added meanwhile
        lines, text = tail.lines, tail.text()
        self.release()
        try:
            self._store.save_log(request.lease, text)
        except StoreError:  # the next exchange says so; the next look tries again
            return before
        return lines


class _Tail:
    def __init__(self) -> None:
        self.lines = 0  # added so far
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._cut = False

    def add(self, line: bytes) -> None:
        if len(line) >= TAIL_BYTES:
            line, self._cut = line[-TAIL_BYTES + 64 :], True
        self._lines.append(line)
        self.lines += 1
        self._size += len(line) + 1
        while self._size > TAIL_BYTES - 8:
            self._size -= len(self._lines.popleft()) + 1
            self._cut = True

    def text(self) -> bytes:
        text = b"\n".join(self._lines)
        return b"[...]\n" + text if self._cut else text
