"""The tail of what a task logs, kept for the job's history."""

from __future__ import annotations

import logging
from collections import deque

from duly.request import Request, current

TAIL_BYTES = 16 * 1024
_FORMAT = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")


class JobLog(logging.Handler):
    """Collects, for each attempt that logs at all, the last TAIL_BYTES of it."""

    def __init__(self) -> None:
        super().__init__()
        self.tails: dict[Request, _Tail] = {}  # of running attempts
        self.setFormatter(_FORMAT)

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


class _Tail:
    def __init__(self) -> None:
        self._lines: deque[bytes] = deque()
        self._size = 0
        self._cut = False

    def add(self, line: bytes) -> None:
        if len(line) >= TAIL_BYTES:
            line, self._cut = line[-TAIL_BYTES + 64 :], True
        self._lines.append(line)
        self._size += len(line) + 1
        while self._size > TAIL_BYTES - 8:
            self._size -= len(self._lines.popleft()) + 1
            self._cut = True

    def text(self) -> bytes:
        text = b"\n".join(self._lines)
        return b"[...]\n" + text if self._cut else text
