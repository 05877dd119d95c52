"""A TCP proxy before a server of ours, for the faults of networks: connections cut, refused, slow, or silent.

All it does can be changed while connections are open, from the test's thread; the work is done in one thread of its
own. What it forwards it forwards unchanged and in order, or not at all.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_READ = 1 << 16  # bytes at a time

Watcher = Callable[[bytes], bool]
"""Sees each piece of data before it is passed on; True: cut the connection instead."""


@dataclass
class _Pipe:
    """One direction of one connection."""

    source: socket.socket
    target: socket.socket
    answers: bool  # from the server to the client
    queue: deque[tuple[float, bytes]] = field(default_factory=deque)  # when to pass it on, what


class Proxy:
    """Listens on ``port``, a free loopback port, and passes on to ``target``.

    1. ``start``, or ``with``.
    2. ``cut``, ``refuse``, ``hold``, ``slow``, ``cut_answer`` and ``cut_call`` break things; ``heal`` mends them.
    3. ``stop``.
    """

    def __init__(self, target: int) -> None:
        """``target``: a port of this host."""
        self.target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._pipes: list[_Pipe] = []
        self._lock = threading.RLock()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._waker, self._wakes = socket.socketpair()
        self.refused = 0  # connections turned away
        self.heal()

    # -- faults ----------------------------------------------------------------------------------

    def heal(self) -> None:
        """No fault, from now on. What was held back comes through."""
        with self._lock:
            self._refusing = self._held = False
            self._latency = 0.0
            self._piece = 0
            self._before_answer: Watcher | None = None
            self._before_call: Watcher | None = None
        self._wakes.send(b"!")

    def cut(self) -> None:
        """Reset every connection there is."""
        with self._lock:
            for pipe in list(self._pipes):
                self._drop(pipe)

    def refuse(self) -> None:
        """Accept no new connection: each is closed at once."""
        with self._lock:
            self._refusing = True

    def hold(self) -> None:
        """Half-open: connections stay, and nothing comes through any more, in either direction."""
        with self._lock:
            self._held = True

    def slow(self, latency: float = 0.0, piece: int = 0) -> None:
        """Each way takes ``latency`` seconds; data comes in pieces of ``piece`` bytes, if that is not 0."""
        with self._lock:
            self._latency, self._piece = latency, piece

    def cut_answer(self, watcher: Watcher) -> None:
        """Let the server have what is sent, and reset the connection instead of passing on an answer for which
        ``watcher`` is true."""
        with self._lock:
            self._before_answer = watcher

    def cut_call(self, watcher: Watcher) -> None:
        """Reset the connection instead of passing on to the server what ``watcher`` is true for."""
        with self._lock:
            self._before_call = watcher

    # -- its life --------------------------------------------------------------------------------

    def start(self) -> Self:
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, None)
        self._selector.register(self._waker, selectors.EVENT_READ, None)
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopped = True
        self._wakes.send(b"!")
        self._thread.join()
        self.cut()
        for one in (self._listener, self._waker, self._wakes):
            one.close()
        self._selector.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        while not self._stopped:
            ready = self._selector.select(self._until_next())
            with self._lock:
                for key, _ in ready:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj is self._waker:
                        self._waker.recv(_READ)
                    elif key.data in self._pipes:
                        self._read(key.data)
                if not self._held:
                    for pipe in list(self._pipes):
                        self._pass_on(pipe)

    def _until_next(self) -> float | None:
        with self._lock:
            if self._held:
                return 0.05
            times = [pipe.queue[0][0] for pipe in self._pipes if pipe.queue]
        return max(min(times) - time.monotonic(), 0) if times else None

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._refusing:
            self.refused += 1
            _reset(client)
            return
        try:
            server = socket.create_connection(("127.0.0.1", self.target), timeout=5)
        except OSError:
            _reset(client)
            return
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.setblocking(True)
        for pipe in (_Pipe(client, server, answers=False), _Pipe(server, client, answers=True)):
            self._pipes.append(pipe)
            self._selector.register(pipe.source, selectors.EVENT_READ, pipe)

    def _read(self, pipe: _Pipe) -> None:
        try:
            data = pipe.source.recv(_READ)
        except OSError:
            data = b""
        watcher = self._before_answer if pipe.answers else self._before_call
        if not data or (watcher is not None and watcher(data)):
            self._drop(pipe)
            return
        size = self._piece or len(data)
        at = time.monotonic() + self._latency
        for start in range(0, len(data), size):
            pipe.queue.append((at, data[start : start + size]))

    def _pass_on(self, pipe: _Pipe) -> None:
        now = time.monotonic()
        try:
            while pipe.queue and pipe.queue[0][0] <= now:
                pipe.target.sendall(pipe.queue.popleft()[1])
        except OSError:
            self._drop(pipe)

    def _drop(self, dropped: _Pipe) -> None:
        ends = {dropped.source, dropped.target}
        for pipe in [pipe for pipe in self._pipes if pipe.source in ends]:
            self._pipes.remove(pipe)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(pipe.source)
        for end in ends:
            _reset(end)


def _reset(one: socket.socket) -> None:
    """Close as a broken network does: with RST, nothing pending is delivered."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    one.close()
