"""Wake-ups over PUBLISH and SUBSCRIBE: one connection a listener, whose socket is what is waited for.

A message says nothing, so nothing is parsed: that bytes came is the wake-up. A connection that ended is a wake-up too
(something may have been missed), and is made again by the next wait.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import ssl
import time

import hiredis

from duly.errors import StoreError, StoreUnavailable
from duly.store.redis.connecting import Connection, packed, said
from duly.store.redis.server import Server
from duly.store.wake import readable

_NOTHING = (BlockingIOError, ssl.SSLWantReadError)
_READ = 1 << 14  # bytes
_PAUSE = 0.5  # seconds between two tries to connect again


class WakeListener:
    """See ``contract.Listener``.

    1. Made, it has subscribed: whatever is published from then on wakes it.
    2. ``wait``, ``poke`` and ``fileno`` until
    3. ``close``.
    """

    def __init__(self, server: Server, channel: str, *others: str) -> None:
        """Raises StoreError if the server cannot be reached."""
        self._connection: Connection | None = None
        self._server = server
        self._channels = [f"{server.place.prefix}:wake:{name}" for name in (channel, *others)]
        self._selector = selectors.DefaultSelector()  # its descriptor is ready when one of these two is
        self._mine, self._pokes = socket.socketpair()
        self._mine.setblocking(False)
        self._pokes.setblocking(False)
        self._selector.register(self._mine, selectors.EVENT_READ)
        self._socket: socket.socket | None = None
        self._descriptors: tuple[int, ...] = (self._mine.fileno(),)  # of what is waited for
        self._next_try = 0.0
        self._pid = os.getpid()
        self._closed = False
        try:
            self._subscribe()
        except BaseException:
            self.close()
            raise

    def wait(self, timeout: float) -> bool:
        if self._closed:
            return False
        missed = self._socket is None and self._subscribe_again()
        ready = readable(0 if missed else timeout, *self._descriptors)
        self._drain(ready)
        return missed or bool(ready)

    def poke(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: nobody waits
            self._pokes.send(b"!")

    def fileno(self) -> int:
        return self._selector.fileno()

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._leave()
        self._selector.close()
        self._mine.close()
        self._pokes.close()

    def __del__(self) -> None:
        """Whoever drops a listener need not close it."""
        if self._connection is not None and os.getpid() == self._pid:
            self._connection.close()

    # -- the subscription ------------------------------------------------------------------------

    def _subscribe(self) -> None:
        connection = self._server.connect()
        try:
            answer = connection.ask(packed((b"SUBSCRIBE", *self._channels)))
        except (OSError, hiredis.HiredisError) as error:
            connection.close()
            raise StoreUnavailable(f"{self._what()}: the server did not answer ({said(error)})") from error
        if isinstance(answer, hiredis.ReplyError):
            connection.close()
            raise StoreError(f"{self._what()}: the server refuses ({said(answer)})")
        self._connection, self._socket = connection, connection.socket
        self._socket.setblocking(False)
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._descriptors = (self._mine.fileno(), self._socket.fileno())

    def _what(self) -> str:
        return f"wake-ups of {self._channels[0]}"

    def _subscribe_again(self) -> bool:
        """Whether it listens again, and so may have missed something."""
        if time.monotonic() < self._next_try:
            return False
        self._next_try = time.monotonic() + _PAUSE
        try:
            self._subscribe()
        except (StoreError, OSError):
            return False
        return True

    def _drain(self, ready: set[int]) -> None:
        for sock in (self._mine, self._socket):
            if sock is None or sock.fileno() not in ready:
                continue
            said, there = _emptied(sock)
            if sock is self._socket:
                there = there and self._understood(said)
            if not there:
                self._leave()

    def _understood(self, said: bytes) -> bool:
        """Look into what the server said; False if it makes no sense. Here it is enough that it said something."""
        return True

    def _leave(self) -> None:
        connection, self._connection = self._connection, None
        sock, self._socket = self._socket, None
        self._descriptors = (self._mine.fileno(),)
        if connection is None or sock is None or os.getpid() != self._pid:  # a child's parent still needs it
            return
        self._selector.unregister(sock)
        connection.close()


def _emptied(sock: socket.socket) -> tuple[bytes, bool]:
    """Read what is there; False if the other side is gone. A read that brings less than it might was the last, except
    of TLS, which may keep more than the kernel shows."""
    said = b""
    try:
        while data := sock.recv(_READ):
            said += data
            if len(data) < _READ and not isinstance(sock, ssl.SSLSocket):
                return said, True
    except _NOTHING:
        return said, True
    except OSError:
        pass
    return said, False
