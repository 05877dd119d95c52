from __future__ import annotations

import logging

from .app import app

log = logging.getLogger(__name__)


@app.task
def add(x: int, y: int) -> int:
    log.info("adding %s and %s", x, y)
    return x + y


@app.task
def mul(x: int, y: int) -> int:
    return x * y


@app.task
def xsum(numbers: list[int]) -> int:
    return sum(numbers)


@app.task
def risky(x: int, y: int | None) -> int:
    if y is None:
        raise ValueError("the second number is missing")
    return x + y
