"""Wake-ups by NOTIFY, for those who are idle.

One connection a process listens, in a thread of its own, and passes what it hears to the listeners of this process. A
notification costs every commit beside it a wait in line, so whoever enqueues or settles first asks whether anybody is
idle: while somebody waits on a channel, this connection holds a shared advisory lock of the channel's name, which
`duly.wake` finds taken (schema_1.sql). Who has just begun to be idle may have missed what was being committed at that
moment, so it is woken at once and once more a little later, to look again.

Behind a pool that hands its connections round nobody can listen: then there are no wake-ups from elsewhere, and
everyone looks by itself each second. A lost connection is made again, and everybody woken.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from weakref import WeakSet

import psycopg

from duly.errors import StoreError
from duly.forks import living
from duly.store.postgres.connecting import Connection
from duly.store.postgres.sql import Statements
from duly.store.wake import LocalHub, LocalListener, readable

log = logging.getLogger("duly.store")

_LINGER = 0.25  # seconds after a wait ended for which a channel counts as waited on
_LOOK_AGAIN = 0.02  # seconds after the beginning of a wait: longer than a commit takes
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0  # seconds between two tries to connect
_START = 5.0  # seconds that `listen` waits for the first connection


class _Mark:
    """What the thread knows of one channel."""

    def __init__(self) -> None:
        self.listening = False  # LISTEN was sent
        self.held = False  # others can see that somebody waits
        self.fresh = False  # nobody has waited on it yet
        self.again: float | None = None  # monotonic, when to wake once more


class WakeListener(LocalListener):
    """A listener that says when it is waited on."""

    def __init__(self, hub: Waker, channel: str) -> None:
        super().__init__(hub, channel)
        self._waker = hub
        self._name = channel
        self.waiting = 0  # threads in ``wait``
        self.left = time.monotonic()  # when the last of them left; it begins as one that is about to wait
        self.polled = False  # somebody has its descriptor, and may wait there at any time

    @property
    def attentive(self) -> bool:
        return self.polled or self.waiting > 0 or time.monotonic() - self.left < _LINGER

    def wait(self, timeout: float) -> bool:
        if timeout <= 0:
            return super().wait(timeout)
        self.waiting += 1
        try:
            self._waker.attend(self._name)
            return super().wait(timeout)
        finally:
            self.left = time.monotonic()
            self.waiting -= 1

    def fileno(self) -> int:
        self.polled = True
        self._waker.attend(self._name)
        return super().fileno()


class Waker(LocalHub):
    """The listeners of one store in this process.

    1. ``listen`` starts the thread, if it is the first, and returns when the server has heard of it.
    2. The thread connects, listens, marks and unmarks channels, and wakes, until
    3. ``close``; a later ``listen`` starts another one.
    """

    def __init__(self, connect: Callable[[], tuple[Connection, bool]], statements: Statements) -> None:
        """``connect`` gives a connection, and whether it leads to the server itself. Raises StoreError."""
        super().__init__()
        self._connect = connect
        self._statements = statements
        self._thread: threading.Thread | None = None
        self._start_lock = threading.Lock()
        self.deaf = False  # there is a pool in between
        _wakers.add(self)

    # -- from any thread -------------------------------------------------------------------------

    def listen(self, channel: str) -> LocalListener:
        with self._start_lock:
            listener = WakeListener(self, channel)
            self.adopt(listener, channel)
            if self._thread is None:
                self._begin()
            self._changed.clear()
            self._poke()
            self._changed.wait(_START)
        return listener

    def attend(self, channel: str) -> None:
        """Somebody is about to wait on this channel."""
        mark = self._marks.get(channel)
        if mark is None or not mark.held:
            self._poke()

    def close(self) -> None:
        """End the thread. Listeners are closed by who made them."""
        with self._start_lock:
            thread = self._thread
            if thread is not None:
                self._stop = True
                self._poke()
                self._thread = None
                thread.join(timeout=_START)
                self._bell.close()
                self._ears.close()

    def _begin(self) -> None:
        self._stop = self._lost = False
        self._marks: dict[str, _Mark] = {}
        self._changed = threading.Event()
        self._bell, self._ears = socket.socketpair()
        self._bell.setblocking(False)
        self._ears.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="duly-wake", daemon=True)
        self._thread.start()

    def _poke(self) -> None:
        if self._thread is not None:
            with contextlib.suppress(OSError):  # full: it is awake already
                self._bell.send(b"!")

    def forget_parent(self) -> None:
        """In a child that was forked: nobody listens yet, and no thread holds a lock."""
        self._thread = None
        self._listeners, self._lock, self._start_lock = {}, threading.Lock(), threading.Lock()

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stop:
            connection = None
            try:
                connection, direct = self._connect()
                if not direct:
                    self._resign()
                    return
                self._marks = {}
                self._serve(connection)
                pause = _FIRST_PAUSE
            except (StoreError, psycopg.Error) as exc:
                log.debug("wake-ups: %s", exc)
                self._lost = True  # what was said meanwhile was not heard
                self._changed.set()
                readable(pause, self._ears.fileno())
                pause = min(pause * 2, _LONGEST_PAUSE)
            finally:
                if connection is not None:
                    connection.close()

    def _resign(self) -> None:
        self.deaf = True
        log.info("wake-ups: there is a connection pool in between, so work is looked for each second; listen= in the "
                 "store's URL names the server itself")  # fmt: skip
        self._changed.set()

    def _serve(self, connection: Connection) -> None:
        connection.add_notify_handler(lambda told: self._pass_on(told.channel))  # what comes with an answer
        while not self._stop:
            for channel in list(self._listeners):
                self._tend(connection, channel, self._marks.setdefault(channel, _Mark()))
            self._changed.set()
            ears = self._ears.fileno()
            ready = readable(self._until_next(), connection.fileno(), ears)
            if ears in ready:
                with contextlib.suppress(BlockingIOError):
                    self._ears.recv(4096)
            if connection.fileno() in ready:
                connection.pgconn.consume_input()
                while (told := connection.pgconn.notifies()) is not None:
                    self._pass_on(told.relname.decode())

    def _pass_on(self, heard: str) -> None:
        for channel in list(self._listeners):
            if self._statements.channel(channel) == heard:
                self.notify(channel)

    def _tend(self, connection: Connection, channel: str, mark: _Mark) -> None:
        """Bring what the server knows of a channel to what is so."""
        listeners = self._members(channel)
        attentive = any(listener.attentive for listener in listeners)
        if listeners and not mark.listening:
            connection.execute(f'LISTEN "{self._statements.channel(channel)}"'.encode())
            mark.listening, mark.fresh = True, not self._lost
        if attentive and not mark.held:
            mark.held = self._locked(connection, "pg_try_advisory_lock_shared", channel)
            if mark.held and not mark.fresh:  # those who listen only now have not looked yet
                self.notify(channel)
                mark.again = time.monotonic() + _LOOK_AGAIN
            mark.fresh = mark.fresh and not mark.held
        elif mark.held and not attentive:
            self._locked(connection, "pg_advisory_unlock_shared", channel)
            mark.held = False
        if mark.again is not None and time.monotonic() >= mark.again:
            mark.again = None
            self.notify(channel)

    def _locked(self, connection: Connection, function: str, channel: str) -> bool:
        sql = f"SELECT {function}(hashtextextended(%s, 0))".encode()
        row = connection.execute(sql, (self._statements.channel(channel),)).fetchone()
        return bool(row and row[0])

    def _until_next(self) -> float | None:
        """Seconds until something has to be done without being asked to."""
        now = time.monotonic()
        times = [mark.again - now for mark in self._marks.values() if mark.again is not None]
        for channel, mark in self._marks.items():
            listeners = self._members(channel)
            if mark.held and not any(one.polled or one.waiting for one in listeners):
                times.append(_LINGER)
            elif not mark.held and any(one.attentive for one in listeners):
                times.append(0.001)  # somebody was just asking whether it is held
        return max(min(times), 0.0) if times else None

    def _members(self, channel: str) -> list[WakeListener]:
        return [one for one in self.members(channel) if isinstance(one, WakeListener)]


_wakers: WeakSet[Waker] = WeakSet()


def _after_fork_in_child() -> None:
    for waker in living(_wakers):
        waker.forget_parent()


os.register_at_fork(after_in_child=_after_fork_in_child)
