"""A Redis server as the store needs it: one connection a process, scripts, errors, the server's clock.

What can go wrong and what happens then. The server cannot be reached, is loading its data, or has become a replica:
the call has done nothing and is tried again, with pauses, for as long as ``timeout`` allows. It went away, or fell
silent, before it answered: nobody knows whether the call was done; it is repeated if that is harmless, else
AnswerLost says so. The process forks: the child opens a connection of its own. A signal handler raises in the middle
of a call: what is left on the connection belongs to nobody, so the next call opens another.

A cluster needs little: all keys of an app are in one hash slot, and a node that does not have it says who does
(MOVED). While the slot is on its way from one node to another, calls wait. The other nodes are remembered for the day
when the one that has it, or the one that the URL names, is gone.
"""

from __future__ import annotations

import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import hiredis

from duly.clock import SYSTEM, Clock
from duly.errors import StoreError, StoreMoved, StoreTooNew, StoreUnavailable
from duly.forks import living
from duly.store.moving import moved_text
from duly.store.redis.connecting import Again, Connection, Lost, Opening, packed, said
from duly.store.redis.packing import arguments
from duly.store.redis.scripts import Script, script
from duly.store.redis.server_clock import ServerClock
from duly.store.redis.url import Place

LAYOUT = 1  # the version of keys and records that this release writes

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.25  # seconds between two tries
_ASK_TIME = 8  # how often at most: one of them will be quick
_NOT_NOW = {"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "BUSY", "UNBLOCKED"}
_REFUSED = {"OOM", "MISCONF", "NOREPLICAS"}


class AnswerLost(StoreUnavailable):
    """The server went away before it answered: what was asked may have been done or not."""


class Server:
    """One Redis server (or the part of a cluster) that has an app's keys.

    1. The first call connects, and makes sure that the layout is known here.
    2. ``call`` runs a script; one thread at a time, and never one inside another.
    3. After a fork the child starts again at 1; so does who calls after ``close``.
    """

    def __init__(self, place: Place, clock: Clock, create: bool = True) -> None:
        self.place = place
        self.clock = ServerClock()
        self._create = create
        self._clock = clock
        self._driven = clock is not SYSTEM
        self._lock = threading.RLock()  # lets a signal handler in, to be told that it may not be here
        self._inside = False
        self._connection: Connection | None = None
        self._opening: Opening | None = None  # one that is being made, or was, when a signal handler raised
        self._nodes: list[tuple[str, int]] = []  # of a cluster: who has our slot first; none: who the URL names
        _open_here.add(self)

    def __del__(self) -> None:
        """Whoever drops a store need not close it."""
        self._drop()

    # -- calling ---------------------------------------------------------------------------------

    def call(self, name: str, *parameters: object, repeat: bool = True) -> list[Any]:
        """Run a script; gives what it answered, without the instant.

        ``repeat=False``: a call whose answer was lost is not repeated. Raises StoreError.
        """
        return self.call_plain(name, arguments(parameters), repeat)

    def call_plain(self, name: str, parameters: Sequence[str | bytes], repeat: bool = True) -> list[Any]:
        """``call`` a script that takes its parameters one by one, and no MessagePack."""
        found = script(name)
        instant = b"%d" % self._clock.now() if self._driven else b""
        words = [self.place.prefix, instant, *parameters]
        answer: list[Any] = self._patiently(lambda connection: self._timed(connection, found, words), repeat)
        return answer[1:]

    def command(self, *words: str | bytes) -> Any:
        """Run one command, one that may be repeated."""
        whole = packed(words)
        return self._patiently(lambda connection: connection.ask(whole), True)

    def now(self) -> int:
        """The server's clock, without asking it each time."""
        if self._driven:
            return self._clock.now()
        if self.clock.is_known():
            return self.clock.now()
        for _ in range(_ASK_TIME):
            self.call("time")
            if self.clock.is_known(well=True):
                break
        return self.clock.now()

    def connect(self) -> Connection:
        """A new connection to the same server, for who listens. Raises StoreError."""
        return Opening(self.place).wait()

    def close(self) -> None:
        with self._lock:
            self._drop()

    # -- trying ----------------------------------------------------------------------------------

    def _patiently(self, ask: Callable[[Connection], Any], repeat: bool) -> Any:
        with self._lock:
            if self._inside:
                raise self._entered_twice()
            try:
                self._inside = True
                return self._until_answered(ask, repeat)
            finally:
                self._inside = False

    def _until_answered(self, ask: Callable[[Connection], Any], repeat: bool) -> Any:
        """Try, again and again if that may help, for as long as the place's timeout."""
        end, pause = time.monotonic() + self.place.timeout, _FIRST_PAUSE
        while True:
            try:
                return self._once(ask)
            except Again as again:
                lost = isinstance(again, Lost)
                if lost and not repeat:
                    raise AnswerLost(f"{again}; it may have been done: repeat the call") from again.__cause__
                if time.monotonic() + pause >= end:
                    raise (AnswerLost if lost else StoreUnavailable)(str(again)) from again.__cause__
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _once(self, ask: Callable[[Connection], Any]) -> Any:
        """Raises Again."""
        connection = self._open()
        try:
            connection.asked = True  # until it has answered, its next answer is to this
            answer = ask(connection)
            connection.asked = False
            connection.used = time.monotonic_ns()
        except (OSError, hiredis.HiredisError) as error:
            self._drop()
            raise Lost(f"store {self._where(connection)}: the server did not answer ({said(error)})") from error
        if isinstance(answer, hiredis.ReplyError):
            raise self._explain(str(answer), connection)
        return answer

    def _timed(self, connection: Connection, found: Script, words: Sequence[str | bytes]) -> Any:
        """Run a script, whose answer begins with the instant, or with nothing if it had no need of it."""
        sent = time.monotonic_ns()
        answer = connection.run(found, words)
        if type(answer) is list and answer[0] is not None:
            self.clock.hear(answer[0], sent, time.monotonic_ns())
        return answer

    def _explain(self, error: str, connection: Connection) -> Exception:
        """What an error that the server answered means; it has done nothing."""
        word, where = error.split(" ", 1)[0], f"store {self._where(connection)}: "
        if word == "MOVED":
            host, _, port = error.split(" ")[2].rpartition(":")
            self._drop()
            self._nodes = [(host or connection.host, int(port)), *self._nodes]
            return Again(f"{where}another node of the cluster has its keys ({error})")
        if word == "ASK":  # its keys are on their way to another node: whoever went along would see half of them
            return Again(f"{where}the cluster is moving its keys ({error})")
        if word in _NOT_NOW:
            self._drop()  # the name may lead to another server by now
            return Again(f"{where}not now ({error})")
        if word == "DULYMOVED":
            return StoreMoved(moved_text(error.removeprefix("DULYMOVED ")))
        if word in ("NOAUTH", "NOPERM", "WRONGPASS"):
            needed = "the store's URL has to name a user who may: redis://USER:PASSWORD@HOST, or :PASSWORD alone"
            return StoreError(f"{where}{error.removesuffix('.')}; {needed}")
        if word in _REFUSED:
            return StoreUnavailable(f"{where}nothing was written, for the server refuses writes ({error})")
        return StoreError(f"{where}{error}")

    def _entered_twice(self) -> RuntimeError:
        """No StoreError: it says nothing about the call that was interrupted, which may go on."""
        return RuntimeError(
            f"store {self.place.prefix}: called by a signal handler (or a finalizer) that interrupted another call "
            "of the store in the same thread; nothing was done. Set a flag in the handler, and call where it is read"
        )

    def _where(self, connection: Connection) -> str:
        return f"{connection.address} {self.place.prefix}"

    # -- connecting ------------------------------------------------------------------------------

    def _open(self) -> Connection:
        """The connection, a new one if there is none or it is of no use. Raises Again."""
        connection = self._connection
        if connection is not None and not connection.asked and not connection.is_gone():
            return connection
        self._drop()
        return self._connect()

    def _connect(self) -> Connection:
        node = self._nodes[0] if self._nodes else None
        self._opening = opening = Opening(self.place, node)
        try:
            connection = opening.wait()
        except Again:
            if node is not None:  # the next one knows more, or who the URL names
                del self._nodes[0]
            raise
        self._connection, self._opening = connection, None
        try:
            self._check_layout(connection)
        except (OSError, hiredis.HiredisError) as error:
            self._drop()
            raise Again(f"store {self._where(connection)}: the server does not answer ({said(error)})") from error
        except BaseException:
            self._drop()
            raise
        connection.asked = False
        return connection

    def _check_layout(self, connection: Connection) -> None:
        """Refuses keys that are not ours to read; says what we write where there are none yet."""
        meta = f"{self.place.prefix}:meta"
        answer = connection.ask(packed((b"HGET", meta, b"version")))
        if isinstance(answer, hiredis.ReplyError):
            raise self._explain(str(answer), connection)
        if others := connection.other_nodes():
            self._nodes = [(connection.host, connection.port), *others]
        if answer is None and self._create:
            answer = connection.ask(packed((b"HSETNX", meta, b"version", b"%d" % LAYOUT)))
        if isinstance(answer, hiredis.ReplyError):
            raise self._explain(str(answer), connection)
        if answer is None:
            raise StoreUnavailable(
                f"there is no store at {self._where(connection)}: check the address and the prefix; a store is "
                "made by the first call of a task and by the first worker"
            )
        if int(answer) > LAYOUT:
            raise StoreTooNew(
                f"store {self._where(connection)}: written by a newer duly (layout {int(answer)}, this one knows "
                f"{LAYOUT}); upgrade duly here, or use another store"
            )

    def _drop(self) -> None:
        """Whatever a signal handler interrupts here is done by the next call."""
        if self._connection is not None:
            self._connection.asked = True
            self._connection.close()
            self._connection = None
        if self._opening is not None:
            self._opening.give_up()
            self._opening = None

    def forked(self) -> None:
        """This is a child now: the parent's connection, its lock and whoever held it are not ours."""
        self._lock = threading.RLock()
        self._inside, self._opening = False, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.socket.close()  # here alone


_open_here: weakref.WeakSet[Server] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for server in living(_open_here):
        server.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)
