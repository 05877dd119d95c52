"""What the tests of the gateways share: a Celery project, and waiting with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

PROJECT = """
import os
from celery import Celery, chain, chord, group, signature

app = Celery("proj", broker=os.environ["BROKER"], backend=os.environ.get("BACKEND"))
app.conf.update(accept_content=["json", "msgpack", "yaml", "pickle"])

@app.task
def add(x, y=0):
    return x + y

@app.task(bind=True)
def note(self, *args, **kwargs):
    pass
"""
"""Its tasks are ``proj.add`` and ``proj.note``; environment: BROKER, BACKEND."""


def until(what: Callable[[], bool], why: str, patience: float = 30.0) -> None:
    """Wait until it is so. Raises AssertionError."""
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, f"{why}: not within {patience:g} s"
        time.sleep(0.02)
