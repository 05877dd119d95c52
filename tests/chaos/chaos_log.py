"""The log of a chaos run: one file, to which every process of the run appends lines of JSON.

A line is one ``write`` to a file opened with O_APPEND, so lines of different processes never mix, and what was
written survives the SIGKILL of who wrote it. Each begins with a line feed too: should a kill cut one short (the
kernel may stop a write between two pages), the next is still whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any, NamedTuple


class Event(NamedTuple):
    """One line."""

    what: str
    at: int  # µs UTC
    mono: float  # seconds on the monotonic clock, which all processes of the run share
    pid: int
    facts: dict[str, Any]

    def __getitem__(self, name: Any) -> Any:
        return self.facts.get(name) if isinstance(name, str) else tuple.__getitem__(self, name)


class Log:
    """The end to write to. Safe from any thread, and after a fork."""

    def __init__(self, path: str | Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, what: str, **facts: Any) -> None:
        facts |= {"what": what, "at": time.time_ns() // 1000, "mono": time.monotonic(), "pid": os.getpid()}
        os.write(self._fd, b"\n" + json.dumps(facts).encode() + b"\n")


def parse(data: bytes) -> tuple[list[Event], int]:
    """The events in the order of the monotonic clock, and how many lines were cut short."""
    events, torn = [], 0
    for line in data.split(b"\n"):
        if not line:
            continue
        try:
            facts = json.loads(line)
            events.append(Event(*(facts.pop(name) for name in ("what", "at", "mono", "pid")), facts))
        except (ValueError, KeyError):
            torn += 1
    events.sort(key=lambda event: event.mono)
    return events, torn


def answer(serial: str) -> str:
    """What every task of a run that succeeds returns."""
    return hashlib.sha1(serial.encode()).hexdigest()[:12]
