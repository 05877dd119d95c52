"""The app that the workers of these tests run; every task notes in a file what it did."""

import asyncio
import ctypes
import dataclasses
import logging
import os
import signal
import subprocess
import sys
import time

from duly import Duly, SoftTimeLimitExceeded, TimeLimitExceeded
from duly.request import current

app = Duly("worker_tasks", worker_cancel_grace=float(os.environ.get("GRACE", "10")))


def note(text):
    line = f"{current.get().id} {text}\n".encode()
    fd = os.open(os.environ["NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(fd, line)
    os.close(fd)


def wait_for_file(path, seconds=30):
    end = time.monotonic() + seconds
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise TimeoutError(path)
        time.sleep(0.01)


@app.task
def add(x, y):
    return x + y


@app.task
def where():
    return os.getpid()


@app.task
def touch():
    note("ran")


@app.task(bind=True)
def hold(self, path):
    note(f"began {self.request.attempt} {os.getpid()}")
    wait_for_file(path)
    note(f"ended {self.request.attempt}")
    return self.request.attempt


@app.task(bind=True, at_most_once=True)
def hold_once(self, path):
    note(f"began {self.request.attempt} {os.getpid()}")
    wait_for_file(path)
    note("ended")


@app.task(at_most_once=True)
def touch_once():
    note("ran")


@app.task
def nap(seconds):
    note("began")
    time.sleep(seconds)
    note("ended")


@app.task(bind=True)
def exit_hard(self):
    note(f"began {self.request.attempt}")
    os._exit(3)


@app.task
def exit_softly():
    sys.exit("no more")


@app.task
def keyboard():
    raise KeyboardInterrupt


@app.task
def segfault():
    note("began")
    ctypes.string_at(0)


@app.task
def eat(megabytes):
    note("began")
    food = [b"x" * (1 << 20) for _ in range(megabytes)]
    time.sleep(30)
    return len(food)


@app.task
def leave_children(path):
    """A child in a session of its own, and a grandchild whose parent is gone."""
    for command in (["sleep", "300"], ["sh", "-c", "setsid sleep 300 & echo $! >> '" + path + "'"]):
        child = subprocess.Popen(command, start_new_session=True)
        note(f"child {child.pid}")
    note("began")
    wait_for_file(path + ".go")


@app.task
def hold_gil(milliseconds):
    note("began")
    ctypes.PyDLL(None).usleep(milliseconds * 1000)
    note("ended")


@app.task
async def block_loop(seconds):
    note("began")
    time.sleep(seconds)  # noqa: ASYNC251 - what the test is about
    note("ended")


@app.task
async def anap(seconds):
    note("began")
    await asyncio.sleep(seconds)
    note("ended")
    return "rested"


@app.task
def unencodable():
    return object()


class Hostile(Exception):
    def __init__(self, handle):
        super().__init__(handle)
        self.handle = handle

    def __str__(self):
        raise RuntimeError("no text")

    def __reduce__(self):
        raise TypeError("no pickle")


@app.task
def hostile():
    raise Hostile(object())


@app.task(soft_time_limit=0.2)
def soft():
    try:
        time.sleep(10)
    except SoftTimeLimitExceeded:
        note("cleaned up")
        raise


@app.task(soft_time_limit=0.2)
def soft_busy():
    """A soft limit that arrives in Python code, as threads need it."""
    end = time.monotonic() + 10
    while time.monotonic() < end:
        time.sleep(0.01)


@app.task(soft_time_limit=0.2)
async def asoft():
    await asyncio.sleep(10)


@app.task(time_limit=0.4)
def hard():
    note("began")
    time.sleep(30)


@app.task(time_limit=0.4)
async def ahard():
    note("began")
    await asyncio.sleep(30)


class Flaky(Exception):
    pass


@app.task(bind=True, autoretry_for=(Flaky,), default_retry_delay=0.05)
def flaky(self, times):
    note(f"attempt {self.request.attempt}")
    if self.request.attempt <= times:
        raise Flaky(self.request.attempt)
    return self.request.attempt


@app.task(bind=True, time_limit=0.3, autoretry_for=(TimeLimitExceeded,), max_retries=1, default_retry_delay=0.05)
def hard_retried(self):
    note(f"attempt {self.request.attempt}")
    time.sleep(30)


@app.task
def busy(path):
    """Python code that a cancellation can reach in every pool."""
    note("began")
    wait_for_file(path)


@app.task
async def abusy():
    note("began")
    await asyncio.sleep(30)


@app.task
def stubborn(path):
    note("began")
    while not os.path.exists(path):
        try:
            time.sleep(0.01)
        except Exception:
            note("swallowed")


@app.task
def talk(lines):
    for i in range(lines):
        logging.getLogger("shop").info("line %d", i)


@app.task
def murmur(path):
    logging.getLogger("shop").info("page %d", 1)
    wait_for_file(path)


@app.task(ignore_result=True)
def ignored():
    return 42


@app.task
def fork(path, how):
    """The child comes back from here too."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return "parent"
    note("child")
    if how == "raise":
        raise RuntimeError("in the child")
    if how == "exit":
        sys.exit(3)
    return "child"


@dataclasses.dataclass
class Odd:
    how: str

    def __post_init__(self):
        raise {"exit": SystemExit, "memory": MemoryError, "runtime": RuntimeError}[self.how](self.how)


@app.task
def take_odd(value: Odd):
    note("ran")


class OddDict(dict):
    def items(self):
        raise RuntimeError("no items")

    __iter__ = keys = values = items


@app.task
def give_odd(how):
    if how == "memory":
        raise MemoryError
    return OddDict(a=1)


class ExitingText(Exception):
    def __str__(self):
        raise SystemExit("from str")

    __repr__ = __str__


@app.task
def raise_odd(how):
    if how == "text":
        raise ExitingText
    raise type("Odd", (Exception,), {"__module__": "\udcff", "__qualname__": "Odd\udcff"})(how)


@app.task
async def exit_in_subtask():
    async def leave():
        sys.exit(4)

    await asyncio.create_task(leave())


@app.task
async def stop_loop():
    asyncio.get_running_loop().stop()
    await asyncio.sleep(0.01)
    return "went on"


@app.task
def leave_alarm(seconds):
    signal.setitimer(signal.ITIMER_REAL, seconds)


@app.task
def drop_handlers():
    for number in (signal.SIGALRM, signal.SIGUSR2):
        signal.signal(number, signal.SIG_DFL)


@app.task
async def log_later():
    async def later():
        while True:
            await asyncio.sleep(0.01)
            logging.getLogger("shop").info("late")

    background.append(asyncio.create_task(later()))


background = []


@app.task
def tails():
    return sum(len(handler.tails) for handler in logging.getLogger().handlers if hasattr(handler, "tails"))
