"""Where a seat waits that makes offers; see ``store/offering.py``."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import hiredis

from duly.job import Lease
from duly.store.redis.running import Running
from duly.store.redis.server import Server
from duly.store.redis.wake import WakeListener


class SeatListener(WakeListener):
    """A listener for "work" with a channel of its own, on which the jobs are told that it is given.

    The name of that is new with each listener, so that what is given to a process that is gone reaches nobody, and
    who gives it is told so.
    """

    def __init__(self, server: Server, running: Running, worker: int, slot: int) -> None:
        """Raises StoreError if the server cannot be reached."""
        self._running = running
        self._worker, self._slot = worker, slot
        self._name = secrets.token_hex(8)
        self._own = f"{server.place.prefix}:wake:seat:{self._name}".encode()
        self._told = b""
        super().__init__(server, "work", f"seat:{self._name}")

    def offer(self, queues: Sequence[str], lapse: int) -> int | None:
        self._told = b""
        return self._running.offer(self._worker, self._slot, self._name, queues, lapse)

    def given(self) -> Lease | None:
        told, self._told = self._told, b""
        return self._running.given(self._worker, self._slot, told) if told else None

    def _understood(self, said: bytes) -> bool:
        assert self._connection is not None
        try:
            for message in self._connection.heard(said):
                if type(message) is list and message[:2] == [b"message", self._own]:
                    self._told = message[2]
        except hiredis.HiredisError:
            return False
        return True
