"""Telling systemd how the worker is (sd_notify). Without systemd nothing happens."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Send ``state`` ("READY=1", "STOPPING=1", "WATCHDOG=1") to the service manager, if there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # the abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.sendto(state.encode(), address)
    except OSError:  # the manager is going away; it does not need to know any more
        return


def watchdog_interval() -> float | None:
    """Seconds between WATCHDOG=1 messages that systemd asks this process for: half its limit."""
    micros = os.environ.get("WATCHDOG_USEC", "")
    owner = os.environ.get("WATCHDOG_PID", str(os.getpid()))
    if not micros.isdigit() or owner != str(os.getpid()):
        return None
    return int(micros) / 2_000_000
