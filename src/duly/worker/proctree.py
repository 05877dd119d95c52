"""Finding and ending everything an executor has started.

Processes are recognised by a mark in their environment, which every descendant inherits whatever sessions and
groups it makes for itself. A program may overwrite its environment or clean its child's, so the sessions and
the descendants of marked processes count too. Nothing else is ever touched: before the signal, the process is
pinned by a pidfd and looked at once more, so that a reused number is not mistaken for it.

Without /proc (macOS) it is the executor's process group and its descendants by psutil.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterable
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

from duly.parent import end_with

WORKER_MARK = "DULY_WORKER"
EXECUTOR_MARK = "DULY_EXECUTOR"

_PR_SET_TIMERSLACK = 29

_HAS_PROC = os.path.exists("/proc/self/environ")


class Process(NamedTuple):
    """One process, named for good by pid and start time."""

    pid: int
    parent: int
    session: int
    born: int  # kernel ticks since boot
    zombie: bool


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its supervisor dies, and wake it at the moment it asks for."""
    end_with(parent)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_TIMERSLACK, 1000, 0, 0, 0)  # ns; 50 µs would be lateness


def boot_id() -> str:
    """Names this boot of this kernel; empty where the system does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def look(pid: int) -> Process | None:
    """The process with this number, None if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except OSError:
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return Process(pid, int(fields[1]), int(fields[3]), int(fields[19]), fields[0] in (b"Z", b"X"))


def birth(pid: int) -> int:
    """When the process started, in kernel ticks since boot; 0 if it is gone or the system does not say."""
    if not _HAS_PROC:
        try:
            return int(psutil.Process(pid).create_time() * 100)
        except psutil.Error:
            return 0
    found = look(pid)
    return 0 if found is None or found.zombie else found.born


def members(mark: str, session: int | None = None) -> list[Process]:
    """Every live process that carries ``mark`` ("NAME=value"), shares a session with one that does or with
    ``session``, or descends from one of these. Never the caller itself."""
    if not _HAS_PROC:
        return _members_by_psutil(session)
    everyone = {found.pid: found for found in map(look, _pids()) if found is not None and not found.zombie}
    marked = {pid for pid in everyone if _carries(pid, mark.encode())}
    sessions = {everyone[pid].session for pid in marked}
    if session is not None:
        sessions.add(session)
    own = os.getpid()
    sessions.discard(os.getsid(0))
    chosen = marked | {pid for pid, found in everyone.items() if found.session in sessions}
    chosen = _with_descendants(chosen - {own}, everyone)
    return [everyone[pid] for pid in chosen - {own}]


def kill(mark: str, session: int | None = None, patience: float = 5.0) -> int:
    """SIGKILL every member (see :func:`members`) until none is left; gives how many were still there
    after ``patience`` seconds (processes the kernel cannot end, stuck in a device)."""
    deadline = time.monotonic() + patience
    pause = 0.002
    while True:
        left = members(mark, session)
        if not left:
            return 0
        for process in left:
            _kill_one(process)
        if time.monotonic() > deadline:
            return len(left)
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def memory(processes: Iterable[int]) -> int:
    """Resident bytes of these processes together."""
    total = 0
    for pid in processes:
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.Error:
            continue
    return total


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _carries(pid: int, mark: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return mark in file.read().split(b"\0")
    except OSError:  # gone, or another user's
        return False


def _with_descendants(chosen: set[int], everyone: dict[int, Process]) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, found in everyone.items():
        children.setdefault(found.parent, []).append(pid)
    reached, front = set(chosen), list(chosen)
    while front:
        for child in children.get(front.pop(), ()):
            if child not in reached:
                reached.add(child)
                front.append(child)
    return reached


def _kill_one(process: Process) -> None:
    if not hasattr(os, "pidfd_open"):
        _send_kill(process.pid)
        return
    try:
        fd = os.pidfd_open(process.pid)
    except OSError:  # gone meanwhile
        return
    try:
        if birth(process.pid) == process.born:
            signal.pidfd_send_signal(fd, signal.SIGKILL)
    except OSError:  # gone meanwhile, or not ours to end
        pass
    finally:
        os.close(fd)


def _send_kill(pid: int) -> None:
    with contextlib.suppress(OSError):  # gone meanwhile
        os.kill(pid, signal.SIGKILL)


def _members_by_psutil(session: int | None) -> list[Process]:
    if session is None:
        return []
    found = []
    for process in psutil.process_iter(["pid", "ppid", "status"]):
        pid = process.info["pid"]
        try:
            if os.getpgid(pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(Process(pid, process.info["ppid"], session, birth(pid), False))
        except OSError:
            continue
    try:
        for child in psutil.Process(session).children(recursive=True):
            found.append(Process(child.pid, session, session, birth(child.pid), False))
    except psutil.Error:
        pass
    return found
