"""Waiting for what has to happen: a condition and a deadline, never a pause."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 60.0  # seconds; long, because it costs a test that passes nothing, and machines are busy


def eventually(what: Callable[[], T], patience: float = PATIENCE) -> T:
    """Wait until ``what`` gives something true, and give that. Raises AssertionError."""
    end = time.monotonic() + patience
    while not (found := what()):
        assert time.monotonic() < end, f"did not happen within {patience:g} s: {what}"
        time.sleep(0.005)
    return found
