"""What fork hooks need: a look at objects that other threads may be making at this very moment."""

from __future__ import annotations

from typing import TypeVar
from weakref import WeakSet

T = TypeVar("T")


def living(objects: WeakSet[T]) -> list[T]:
    """Those of ``objects`` that are alive. In a process with threads, others may come while we look."""
    while True:
        try:
            return list(objects)
        except RuntimeError:  # the set grew meanwhile
            continue
