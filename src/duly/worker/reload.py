"""Watching the source files that executors use, for ``--reload``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from duly.clock import Clock

_LOOK = 0.5  # seconds between two looks


class Watcher:
    """Knows when one of the files has changed since the last time it was asked."""

    def __init__(self, clock: Clock) -> None:
        self.waiting = False  # the last start failed; no other before the next change
        self._clock = clock
        self._seen: dict[str, int] = {}  # path: mtime in ns; 0: not there
        self._next_look = 0.0

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            self._seen.setdefault(name, _mtime(name))

    def wait_for_change(self) -> None:
        self.waiting = True

    def changed(self) -> bool:
        now = self._clock.monotonic()
        if now < self._next_look:
            return False
        self._next_look = now + _LOOK
        current = {name: _mtime(name) for name in self._seen}
        if current == self._seen:
            return False
        self._seen = current
        self.waiting = False
        return True


def source_files(folder: str) -> tuple[str, ...]:
    """The files under ``folder`` that this process has imported, installed packages left out."""
    inside = os.path.abspath(folder) + os.sep
    found = set()
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if isinstance(name, str) and name.startswith(inside) and "site-packages" not in name:
            found.add(name)
    return tuple(sorted(found))


def _mtime(name: str) -> int:
    try:
        return os.stat(name).st_mtime_ns
    except OSError:
        return 0
