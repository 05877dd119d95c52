"""What an interruption leaves behind in the interpreter when its job has ended."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, threading, time
from duly.errors import JobCancelled
from duly.job import Lease
from duly.worker.interrupt import Alarms, ThreadGuard

reasons = []

def run(arrives):
    guard = ThreadGuard(Alarms())
    guard.lease = Lease(
        token=7, ref=1, id="a", task="t", args=b"", queue="q", priority=0, due=0, expires=None, attempt=1, retries=0,
        lost=0, flags=0, headers=None, options=None,
    )
    caller = threading.Thread(target=guard.cancel, args=("a", 7))
    try:
        caller.start()
        end = time.monotonic() + 60
        while arrives and time.monotonic() < end:
            pass
        caller.join()
    except JobCancelled:
        pass
    guard.disarm()
    reasons.append(guard.take_reason())

for arrives in (True, False):
    runner = threading.Thread(target=run, args=(arrives,))
    runner.start()
    runner.join()
calls = []
sys.setprofile(lambda frame, event, arg: calls.append(event))
(lambda: None)()
sys.setprofile(None)
assert calls, calls
print("went on after", reasons)
"""


def test_a_process_can_be_profiled_after_a_job_was_interrupted() -> None:
    """CPython 3.11 and 3.12 hang as soon as somebody profiles, if an asynchronous exception was only taken back."""
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert run.stdout == "went on after ['cancel', 'cancel']\n", run.stderr
