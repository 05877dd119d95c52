"""The tasks of a storm over canvases. Each logs where it begins and ends, so that the order can be checked."""

from __future__ import annotations

import os
import time
from typing import Any

from chaos_log import Log

from duly import Duly, Task, chord
from duly.request import current

app = Duly("canvas_tasks", worker_max_lost=1_000)  # a death is nobody's fault here
_log: list[Log] = []


def note(what: str, **facts: Any) -> None:
    if not _log:
        _log.append(Log(os.environ["CHAOS_LOG"]))
    request = current.get()
    assert request is not None
    _log[0].write(what, job=request.id, attempt=request.attempt, **facts)


@app.task
def step(x: int, plus: int) -> int:
    note("began")
    time.sleep(0.002)
    note("ended")
    return x + plus


@app.task
def total(xs: list[int]) -> int:
    note("began")
    time.sleep(0.002)
    note("ended")
    return sum(xs)


@app.task(bind=True)
def grow(self: Task[..., Any], x: int, n: int) -> int:
    """Goes on as a chord of ``n``, and gives n * x + n."""
    note("began")
    self.replace(chord([step.s(x, 1) for _ in range(n)], total.s()))


@app.task
def fail(x: int) -> int:
    note("began")
    raise ValueError(f"no {x}")


@app.task
def mourn(request: Any, exc: Exception, traceback: str) -> str:
    note("began")
    note("ended", about=request.id)
    return str(exc)
