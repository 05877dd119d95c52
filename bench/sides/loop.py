"""An event loop for libraries that have no other way in: the measuring process drives it call by call."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

_loop = None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run ``work`` to its end on the one loop of this process."""
    global _loop
    if _loop is None:
        _loop = uvloop.new_event_loop()
        asyncio.set_event_loop(_loop)
    return _loop.run_until_complete(work)


def serve(work: Coroutine[Any, Any, None]) -> None:
    """The main function of a worker."""
    uvloop.run(work)
