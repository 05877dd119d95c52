"""The tasks of these tests. Each notes ``JOB-ID text`` in the file $NOTES."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from duly import Duly

app = Duly("fair")


def note(task: Any, text: str) -> None:
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{task.request.id} {text}\n")


@app.task(bind=True)
def say(self: Any, text: str) -> None:
    note(self, text)


@app.task(bind=True)
def until(self: Any, path: str) -> None:
    """Runs until there is such a file."""
    note(self, "began")
    while not os.path.exists(path):
        time.sleep(0.005)


@app.task(bind=True)
async def auntil(self: Any, path: str) -> None:
    note(self, "began")
    while not os.path.exists(path):  # noqa: ASYNC110, ASYNC240 - what it waits for is in another process
        await asyncio.sleep(0.005)


@app.task
def tick() -> None: ...


@app.task
def seed(id: str) -> None:
    tick.apply_async(queue="quiet", task_id=id)


@app.task(bind=True, on_late="skip", late_tolerance=2)
def webinar(self: Any) -> None:
    note(self, "attended")


@app.task(bind=True, on_late="fail", late_tolerance=2)
def report(self: Any) -> None:
    note(self, "sent")
