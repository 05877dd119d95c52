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
import select
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import redis.connection
import redis.exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from duly.clock import SYSTEM, Clock
from duly.errors import StoreError, StoreMoved, StoreTooNew, StoreUnavailable
from duly.forks import living
from duly.store.moving import moved_text
from duly.store.redis.packing import arguments
from duly.store.redis.scripts import Script, script
from duly.store.redis.server_clock import ServerClock
from duly.store.redis.url import Place, address

LAYOUT = 1  # the version of keys and records that this release writes

_FIRST_PAUSE, _LONGEST_PAUSE = 0.002, 0.25  # seconds between two tries
_READ = 1 << 16  # bytes
_IDLE = 0.2  # seconds after which a connection is looked at before it is used: the server may have closed it
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
        self._connection: _Connection | None = None
        self._nodes: list[tuple[str, int]] = []  # of a cluster: who has our slot first; none: who the URL names
        _open_here.add(self)

    # -- calling ---------------------------------------------------------------------------------

    def call(self, name: str, *parameters: object, repeat: bool = True) -> list[Any]:
        """Run a script; gives what it answered, without the instant.

        ``repeat=False``: a call whose answer was lost is not repeated. Raises StoreError.
        """
        found = script(name)
        instant = b"%d" % self._clock.now() if self._driven else b""
        words: list[str | bytes] = [self.place.prefix, instant, *arguments(parameters)]
        answer: list[Any] = self._patiently(lambda connection: self._timed(connection, found, words), repeat)
        return answer[1:]

    def command(self, *words: str | bytes | int) -> Any:
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

    def connect(self) -> Any:
        """A new connection of the driver to the same server, for who listens. Raises StoreError."""
        return self._connect_driver(None)

    def close(self) -> None:
        with self._lock:
            self._drop()

    # -- trying ----------------------------------------------------------------------------------

    def _patiently(self, ask: Callable[[_Connection], Any], repeat: bool) -> Any:
        with self._lock:
            if self._inside:
                raise self._entered_twice()
            try:
                self._inside = True
                return self._until_answered(ask, repeat)
            finally:
                self._inside = False

    def _until_answered(self, ask: Callable[[_Connection], Any], repeat: bool) -> Any:
        """Try, again and again if that may help, for as long as the place's timeout."""
        end, pause = time.monotonic() + self.place.timeout, _FIRST_PAUSE
        while True:
            try:
                return self._once(ask)
            except _Again as again:
                lost = isinstance(again, _Lost)
                if lost and not repeat:
                    raise AnswerLost(f"{again}; it may have been done: repeat the call") from again.__cause__
                if time.monotonic() + pause >= end:
                    raise (AnswerLost if lost else StoreUnavailable)(str(again)) from again.__cause__
            time.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _once(self, ask: Callable[[_Connection], Any]) -> Any:
        """Raises _Again."""
        connection = self._open()
        try:
            connection.asked = True  # until it has answered, its next answer is to this
            answer = ask(connection)
            connection.asked = False
            connection.used = time.monotonic_ns()
        except (OSError, hiredis.HiredisError) as error:
            self._drop()
            raise _Lost(f"store {self._where(connection)}: the server did not answer ({_said(error)})") from error
        if isinstance(answer, hiredis.ReplyError):
            raise self._explain(str(answer), connection)
        return answer

    def _timed(self, connection: _Connection, found: Script, words: Sequence[str | bytes]) -> Any:
        """Run a script, whose answer begins with the instant."""
        sent = time.monotonic_ns()
        answer = connection.run(found, words)
        if type(answer) is list:
            self.clock.hear(answer[0], sent, time.monotonic_ns())
        return answer

    def _explain(self, said: str, connection: _Connection) -> Exception:
        """What an error that the server answered means; it has done nothing."""
        word, where = said.split(" ", 1)[0], f"store {self._where(connection)}: "
        if word == "MOVED":
            host, _, port = said.split(" ")[2].rpartition(":")
            self._drop()
            self._nodes = [(host or connection.host, int(port)), *self._nodes]
            return _Again(f"{where}another node of the cluster has its keys ({said})")
        if word == "ASK":  # its keys are on their way to another node: whoever went along would see half of them
            return _Again(f"{where}the cluster is moving its keys ({said})")
        if word in _NOT_NOW:
            self._drop()  # the name may lead to another server by now
            return _Again(f"{where}not now ({said})")
        if word == "DULYMOVED":
            return StoreMoved(moved_text(said.removeprefix("DULYMOVED ")))
        if word in ("NOAUTH", "NOPERM", "WRONGPASS"):
            needed = "the store's URL has to name a user who may: redis://USER:PASSWORD@HOST, or :PASSWORD alone"
            return StoreError(f"{where}{said.removesuffix('.')}; {needed}")
        if word in _REFUSED:
            return StoreUnavailable(f"{where}nothing was written, for the server refuses writes ({said})")
        return StoreError(f"{where}{said}")

    def _entered_twice(self) -> RuntimeError:
        """No StoreError: it says nothing about the call that was interrupted, which may go on."""
        return RuntimeError(
            f"store {self.place.prefix}: called by a signal handler (or a finalizer) that interrupted another call "
            "of the store in the same thread; nothing was done. Set a flag in the handler, and call where it is read"
        )

    def _where(self, connection: _Connection) -> str:
        return f"{connection.address} {self.place.prefix}"

    # -- connecting ------------------------------------------------------------------------------

    def _open(self) -> _Connection:
        """The connection, a new one if there is none or it is of no use. Raises _Again."""
        connection = self._connection
        if connection is not None and (connection.asked or connection.is_gone()):
            self._drop()
            connection = None
        if connection is None:
            connection = self._connect()
            self._connection = connection
        return connection

    def _connect(self) -> _Connection:
        node = self._nodes[0] if self._nodes else None
        try:
            connection = _Connection(self._connect_driver(node))
        except _Again:
            if node is not None:  # the next one knows more, or who the URL names
                del self._nodes[0]
            raise
        try:
            self._check_layout(connection)
        except (OSError, hiredis.HiredisError) as error:
            connection.close()
            raise _Again(f"store {self._where(connection)}: the server does not answer ({_said(error)})") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_layout(self, connection: _Connection) -> None:
        """Refuses keys that are not ours to read; says what we write where there are none yet."""
        meta = f"{self.place.prefix}:meta"
        answer = connection.ask(packed((b"HGET", meta, b"version")))
        if isinstance(answer, hiredis.ReplyError):
            raise self._explain(str(answer), connection)
        if others := connection.other_nodes():
            self._nodes = [(connection.host, connection.port), *others]
        if answer is None and self._create:
            answer = connection.ask(packed((b"HSETNX", meta, b"version", LAYOUT)))
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

    def _connect_driver(self, elsewhere: tuple[str, int] | None) -> Any:
        """Raises _Again, which is a StoreUnavailable to others."""
        options = redis.connection.parse_url(self.place.driver)  # type: ignore[no-untyped-call]
        kind = options.pop("connection_class", redis.connection.Connection)
        if elsewhere is not None:
            options["host"], options["port"] = elsewhere
        timeout = self.place.timeout
        connection = kind(
            **options, protocol=2, socket_timeout=timeout, socket_connect_timeout=timeout, retry=_NO_RETRIES
        )
        try:
            connection.connect()
        except (redis.exceptions.BusyLoadingError, redis.exceptions.ReadOnlyError) as error:
            raise _Again(f"store {address(connection)}: not now ({_said(error)})") from error
        except (redis.exceptions.AuthenticationError, redis.exceptions.ResponseError) as error:
            raise StoreError(
                f"store {address(connection)}: the server refuses the connection ({_said(error)}); look at the "
                "user, the password and the number of the database in the store's URL"
            ) from error
        except (redis.exceptions.RedisError, OSError) as error:
            raise _Again(f"store {address(connection)}: the server cannot be reached ({_said(error)})") from error
        return connection

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def forked(self) -> None:
        """This is a child now: the parent's connection, its lock and whoever held it are not ours."""
        self._lock = threading.RLock()
        self._inside = False
        self._connection = None


class _Again(StoreUnavailable):
    """Nothing was done; trying again may help."""


class _Lost(_Again):
    """Nobody knows whether it was done."""


class _Connection:
    """A connection of the driver, used directly: its own way costs three times what the scripts do."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        self._socket = driver._sock  # the driver has no other name for it
        self._reader = hiredis.Reader()
        self.address = address(driver)
        self.host, self.port = getattr(driver, "host", ""), getattr(driver, "port", 0)
        self.asked = False  # an answer is outstanding
        self.used = time.monotonic_ns()

    def run(self, found: Script, words: Sequence[str | bytes]) -> Any:
        """Run a script, which the server may have to be told first."""
        answer = self.ask(packed((b"EVALSHA", found.sha, 1, *words)))
        if isinstance(answer, hiredis.ReplyError) and str(answer).startswith("NOSCRIPT"):
            answer = self.ask(packed((b"EVAL", found.text, 1, *words)))
        return answer

    def ask(self, command: bytes) -> Any:
        self._socket.sendall(command)
        reader, receive = self._reader, self._socket.recv
        answer = reader.gets()
        while answer is False:
            data = receive(_READ)
            if not data:
                raise ConnectionResetError("the connection was closed")
            reader.feed(data)
            answer = reader.gets()
        return answer

    def is_gone(self) -> bool:
        """Whether the server has closed it, as far as is known here."""
        if time.monotonic_ns() - self.used < _IDLE * 1e9:
            return False
        self.used = time.monotonic_ns()
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0))  # nothing was asked: whatever is there is the end

    def other_nodes(self) -> list[tuple[str, int]]:
        """Those of its cluster, if it is in one."""
        slots = self.ask(packed((b"CLUSTER", b"SLOTS")))
        if isinstance(slots, hiredis.ReplyError):
            return []
        nodes = [(node[0].decode() or self.host, int(node[1])) for slot in slots for node in slot[2:]]
        return [node for node in dict.fromkeys(nodes) if node != (self.host, self.port)]

    def close(self) -> None:
        self._driver.disconnect()


_NO_RETRIES = Retry(NoBackoff(), 0)


def packed(words: Sequence[str | bytes | int]) -> bytes:
    """A command as it goes to the server."""
    whole: bytes = hiredis.pack_command(tuple(words))  # type: ignore[arg-type]
    return whole


def _said(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


_open_here: weakref.WeakSet[Server] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for server in living(_open_here):
        server.forked()


os.register_at_fork(after_in_child=_after_fork_in_child)
