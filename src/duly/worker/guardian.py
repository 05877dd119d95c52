"""The guardian: a process whose only task is to outlive the supervisor and clean up after it.

The supervisor forks it before it starts any thread. It waits on a pipe whose other end only the supervisor
holds; when that end closes, however the supervisor ended, everything that carries this worker's mark is
killed. The kernel ends the executors by itself (PR_SET_PDEATHSIG); the guardian is for what they had started.
It runs on a copy of the supervisor's memory and imports nothing.
"""

from __future__ import annotations

import os
import signal

from duly.worker import proctree


def start(mark: str) -> tuple[int, int]:
    """Fork the guardian of the worker with this mark ("NAME=value").

    Gives its pid and the descriptor to keep open for as long as the worker lives.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid:
        os.close(read_end)
        return pid, write_end
    try:
        os.close(write_end)
        _watch(read_end, mark)
    finally:
        os._exit(0)


def _watch(read_end: int, mark: str) -> None:
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    while os.read(read_end, 1):
        pass
    proctree.kill(mark)
