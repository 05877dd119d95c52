"""An app whose tasks note when they begin and end, on which host; ``NOTES`` names the file, ``HOST`` the host."""

import os
import time

from duly import Duly

app = Duly("hosts", worker_lease=2.0)


def write(what: str, i: int) -> None:
    instant = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000  # the machine's own clock, whatever the host says
    with open(os.environ["NOTES"], "a") as file:
        file.write(f"{what} {i} {os.environ['HOST']} {instant}\n")


@app.task
def quick(i: int) -> int:
    write("begin", i)
    return i


@app.task
def slow(i: int, seconds: float) -> int:
    write("begin", i)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
    write("end", i)
    return i
