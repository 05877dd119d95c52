"""Hosts of our own: network namespaces on one bridge, whose cables can be pulled. Linux, and root to make them.

Nothing of it touches the machine's own network: the bridge is in a namespace too, where the server runs.
"""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Self

NET = "10.203.0"


class Host:
    """One namespace with a cable to the bridge."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self.address = address

    def command(self, words: Sequence[str]) -> list[str]:
        """What runs these words on this host."""
        return ["ip", "netns", "exec", self.name, *words]

    def cut(self) -> None:
        """Pull the cable: what is sent is lost, and nobody is told."""
        _ip("-n", self.name, "link", "set", "eth0", "down")

    def mend(self) -> None:
        _ip("-n", self.name, "link", "set", "eth0", "up")


class Network:
    """A server's host and others, gone at the end of ``with``."""

    def __init__(self) -> None:
        self._stem = f"duly{os.getpid()}-{next(_numbers)}"
        self._hosts: list[Host] = []
        self.server = Host(f"{self._stem}-s", f"{NET}.1")

    def __enter__(self) -> Self:
        inside = ("-n", self.server.name)
        _ip("netns", "add", self.server.name)
        _ip(*inside, "link", "add", "bridge", "type", "bridge")
        _ip(*inside, "address", "add", f"{self.server.address}/24", "dev", "bridge")
        _ip(*inside, "link", "set", "bridge", "up")
        _ip(*inside, "link", "set", "lo", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for host in [*self._hosts, self.server]:
            _ip("netns", "delete", host.name)

    def host(self) -> Host:
        """One more host."""
        number = len(self._hosts) + 10
        host = Host(f"{self._stem}-{number}", f"{NET}.{number}")
        cable = f"port{number}"
        _ip("netns", "add", host.name)
        self._hosts.append(host)
        _ip("-n", self.server.name, "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        _ip("-n", self.server.name, "link", "set", cable, "master", "bridge", "up")
        _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
        _ip("-n", host.name, "link", "set", "lo", "up")
        host.mend()
        return host


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(
            f"ip {' '.join(words)}: {done.stderr.strip()} (test hosts need root and network namespaces)"
        )


_numbers = itertools.count()
