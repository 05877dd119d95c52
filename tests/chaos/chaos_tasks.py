"""The tasks of a chaos run. Each takes a serial that no other call has, and logs where its body begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from chaos_log import Log, answer

from duly import Duly
from duly.request import current
from duly.worker import process

app = Duly("chaos_tasks", worker_cancel_grace=0.3)
LOG = Log(os.environ["CHAOS_LOG"])
if "CHAOS_ALL_SHORT" in os.environ:
    process.SLOW = 1 << 40  # every job is taken for a short one, however slow the machine is
BEAT = 0.02  # seconds between the signs of life of a long body


def about() -> dict[str, Any]:
    request = current.get()
    assert request is not None
    return {"job": request.id, "attempt": request.attempt}


@contextlib.contextmanager
def body(serial: str, **more: Any) -> Iterator[None]:
    """Log the begin and the end of what is inside; ``how`` it ended is "ok" or the exception's name."""
    request = current.get()
    assert request is not None
    LOG.write("start", **about(), serial=serial, task=request.task, due=request.due, parent=os.getppid(), **more)
    how = "ok"
    try:
        yield
    except BaseException as exc:
        how = type(exc).__name__
        raise
    finally:
        LOG.write("end", **about(), how=how)


def live_on(seconds: float) -> None:
    """Be busy for a while, with signs of life."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(BEAT)
        LOG.write("beat", **about())


@app.task
def noop(serial: str) -> str:
    with body(serial):
        return answer(serial)


@app.task
def nap(serial: str, seconds: float) -> str:
    with body(serial):
        live_on(seconds)
    return answer(serial)


@app.task
async def anap(serial: str, seconds: float) -> str:
    with body(serial):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(BEAT)
            LOG.write("beat", **about())
    return answer(serial)


@app.task
def hold_gil(serial: str, seconds: float) -> str:
    """Nothing else runs in this process meanwhile."""
    with body(serial):
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    return answer(serial)


@app.task(bind=True)
def crash(self: Any, serial: str, how: str, times: int) -> str:
    """Takes its process with it, the first ``times`` times."""
    with body(serial):
        if self.request.lost < times:
            LOG.write("dying", **about(), how=how)
            if how == "exit":
                os._exit(7)
            ctypes.string_at(0)
    return answer(serial)


@app.task
def boom(serial: str) -> str:
    with body(serial):
        raise ValueError(serial)


@app.task(bind=True, max_retries=None)
def again(self: Any, serial: str, times: int) -> str:
    """Asks for ``times`` more runs."""
    with body(serial):
        if self.request.retries < times:
            raise self.retry(countdown=0.05)
    return answer(serial)


@app.task(bind=True)
def pay(self: Any, serial: str) -> str:
    """Two steps that must not be repeated once they are recorded."""
    with body(serial):
        for key in ("charge", "mail"):
            value = self.effect(key, step, key)
            LOG.write("recorded", **about(), key=key, value=value)
            live_on(0.03)
    return answer(serial)


def step(key: str) -> str:
    value = os.urandom(6).hex()
    LOG.write("step", **about(), key=key, value=value)
    return value


@app.task(at_most_once=True)
def once(serial: str, seconds: float) -> str:
    with body(serial):
        live_on(seconds)
    return answer(serial)


@app.task
def keyed(serial: str, key: str, seconds: float) -> str:
    """Called with a key. Of those whose key begins with "solo" no two may run at once."""
    with body(serial, key=key):
        live_on(seconds)
    return answer(serial)


@app.task
def brood(serial: str) -> str:
    """Leaves a child behind, in a session of its own."""
    with body(serial):
        child = subprocess.Popen(
            ["sh", "-c", "setsid sleep 300 & echo $!"], start_new_session=True, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        LOG.write("child", **about(), child=int(child.stdout.readline()))
        child.stdout.close()
        child.wait()
    return answer(serial)


@app.task
def mind(serial: str, seconds: float) -> str:
    """Fails if its child is killed."""
    with body(serial):
        subprocess.run(["sleep", str(seconds)], check=True)
    return answer(serial)
