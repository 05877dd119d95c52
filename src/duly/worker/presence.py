"""Whether a registered worker's process is still there. Only of this host, boot and process namespace can we tell."""

from __future__ import annotations

import os
import socket

from duly.job import WorkerInfo
from duly.worker import proctree


def namespace() -> str:
    """Names the set of processes that a pid of this host is a number in: boot and pid namespace."""
    boot = proctree.boot_id()
    if not boot:
        return ""
    return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"


def is_gone(worker: WorkerInfo) -> bool:
    """Certainly gone. False of a worker elsewhere, and of one that left properly."""
    if worker.expires == 0 or worker.host != socket.gethostname():
        return False
    if not worker.boot or worker.boot != namespace():
        return False
    return proctree.birth(worker.pid) != worker.born
