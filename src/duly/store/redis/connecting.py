"""Connections to a server. The driver makes them: addresses, TLS, passwords. Then its socket is used directly, as
its own way of asking costs three times what the scripts do.

What a signal handler raises in a finalizer, or in the middle of somebody's ``except Exception``, goes to nobody, and
a time limit is lost. The driver has both. Signal handlers run in the main thread, so the driver is left to others.
"""

from __future__ import annotations

import _thread
import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import hiredis
import redis.connection
import redis.exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from duly.errors import StoreError, StoreUnavailable
from duly.store.redis.scripts import Script
from duly.store.redis.url import Place, Sentinels, address

_READ = 1 << 16  # bytes
_IDLE = 0.2  # seconds after which a connection is looked at before it is used: the server may have closed it
_SENTINEL_PATIENCE = 1.0  # seconds for one Sentinel, at most: another may know
_OF_THE_SERVER = ("db", "username", "password", "client_name")  # what is not meant for Sentinels
_NO_RETRIES = Retry(NoBackoff(), 0)


class Again(StoreUnavailable):
    """Nothing was done; trying again may help."""


class Lost(Again):
    """Nobody knows whether it was done."""


class Connection:
    """One that leads to a server which answers."""

    def __init__(self, connected: socket.socket, host: str, port: int, where: str) -> None:
        self.socket = connected
        self.host, self.port = host, port  # of a server over TCP
        self.address = where  # as people write it
        self.asked = True  # an answer is outstanding, or what is said to it is not known yet: of no use
        self.used = time.monotonic_ns()
        self._reader = hiredis.Reader()

    def run(self, found: Script, words: Sequence[str | bytes]) -> Any:
        """Run a script, which the server may have to be told first."""
        answer = self.ask(packed((b"EVALSHA", found.sha, b"1", *words)))
        if isinstance(answer, hiredis.ReplyError) and str(answer).startswith("NOSCRIPT"):
            answer = self.ask(packed((b"EVAL", found.text, b"1", *words)))
        return answer

    def ask(self, command: bytes) -> Any:
        self.socket.sendall(command)
        reader, receive = self._reader, self.socket.recv
        answer = reader.gets()
        while answer is False:
            data = receive(_READ)
            if not data:
                raise ConnectionResetError("the connection was closed")
            reader.feed(data)
            answer = reader.gets()
        return answer

    def heard(self, said: bytes) -> Iterator[Any]:
        """What a subscription brings: the messages that are whole with these bytes. Raises hiredis.HiredisError."""
        self._reader.feed(said)
        while (message := self._reader.gets()) is not False:
            yield message

    def is_gone(self) -> bool:
        """Whether the server has closed it, as far as is known here."""
        if time.monotonic_ns() - self.used < _IDLE * 1e9:
            return False
        self.used = time.monotonic_ns()
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(0))  # nothing was asked: whatever is there is the end

    def other_nodes(self) -> list[tuple[str, int]]:
        """Those of its cluster, if it is in one."""
        slots = self.ask(packed((b"CLUSTER", b"SLOTS")))
        if isinstance(slots, hiredis.ReplyError):
            return []
        nodes = [(node[0].decode() or self.host, int(node[1])) for slot in slots for node in slot[2:]]
        return [node for node in dict.fromkeys(nodes) if node != (self.host, self.port)]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()


class Opening:
    """A connection in the making. Another thread makes it for the main thread.

    1. ``wait`` makes it.
    2. ``give_up``, if a signal handler raised anywhere before it was taken, closes it, now or when it is made.

    Of what ``threading`` has, only locks are whole wherever a signal handler raises: they are written in C.
    """

    def __init__(self, place: Place, elsewhere: tuple[str, int] | None = None) -> None:
        self._place, self._elsewhere = place, elsewhere
        self._lock = threading.Lock()
        self._under_way = threading.Lock()
        self._under_way.acquire()
        self._connection: Connection | None = None
        self._error: BaseException | None = None
        self._wanted = True

    def wait(self) -> Connection:
        """A new connection to the server of the place, or to another node of its cluster.

        Raises StoreError; Again if it may help to try again.
        """
        if threading.get_ident() != threading.main_thread().ident:
            return _connect(self._place, self._elsewhere)
        _thread.start_new_thread(self._make, ())
        self._under_way.acquire()
        if self._connection is not None:
            return self._connection
        error, self._error = self._error, None
        assert error is not None
        try:
            raise error
        finally:
            del error  # which knows this frame

    def give_up(self) -> None:
        with self._lock:
            self._wanted = False
            if self._connection is not None:
                self._connection.close()

    def _make(self) -> None:
        connection, error = None, None
        try:
            connection = _connect(self._place, self._elsewhere)
        except BaseException as raised:
            error = raised
        with self._lock:
            self._connection, self._error = connection, error
            if connection is not None and not self._wanted:
                connection.close()
        self._under_way.release()


def _connect(place: Place, elsewhere: tuple[str, int] | None) -> Connection:
    options = redis.connection.parse_url(place.driver)  # type: ignore[no-untyped-call]
    if elsewhere is None and place.sentinels is not None:
        elsewhere = _primary(place.sentinels, options, place.timeout)
    driver = _driver(options, elsewhere, place.timeout)
    connected, driver._sock = driver._sock, None  # it has no other name for it; ours now
    _wait_in_the_kernel(connected, place.timeout)
    return Connection(connected, getattr(driver, "host", ""), getattr(driver, "port", 0), address(driver))


def _driver(options: Mapping[str, Any], elsewhere: tuple[str, int] | None, timeout: float) -> Any:
    """A connection of the driver. Raises StoreError."""
    options = dict(options)
    kind = options.pop("connection_class", redis.connection.Connection)
    if elsewhere is not None:
        options["host"], options["port"] = elsewhere
    driver = kind(**options, protocol=2, socket_timeout=timeout, socket_connect_timeout=timeout, retry=_NO_RETRIES)
    try:
        driver.connect()
    except (redis.exceptions.RedisError, OSError) as error:
        raise _why_not(driver, error) from error
    return driver


def _primary(sentinels: Sentinels, options: Mapping[str, Any], timeout: float) -> tuple[str, int]:
    """Where the primary is, by the first Sentinel that knows. Raises Again."""
    theirs = {name: value for name, value in options.items() if name not in _OF_THE_SERVER}
    theirs |= {"username": sentinels.username, "password": sentinels.password}
    answers = []
    for host in sentinels.hosts:
        try:
            driver = _driver(theirs, host, min(timeout, _SENTINEL_PATIENCE))
            driver.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", sentinels.service)
            found = driver.read_response()
            driver.disconnect()
        except (StoreError, redis.exceptions.RedisError, OSError) as error:
            answers.append(f"{host[0]}:{host[1]}: {said(error).removeprefix('store ')}")
            continue
        if found is not None:
            return found[0].decode(), int(found[1])
        answers.append(f"{host[0]}:{host[1]} knows no {sentinels.service!r}")
    raise Again(f"store {sentinels.service!r}: no Sentinel says where it is: {'; '.join(answers)}")


def _wait_in_the_kernel(connected: socket.socket, timeout: float) -> None:
    """Let the kernel watch the time: Python's own way is another system call before each."""
    if isinstance(connected, ssl.SSLSocket):  # its calls are not the kernel's
        return
    connected.settimeout(None)
    limit = struct.pack("ll", int(timeout), int(timeout % 1 * 1e6))  # struct timeval
    for way in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        connected.setsockopt(socket.SOL_SOCKET, way, limit)


def _why_not(driver: Any, error: Exception) -> StoreError:
    where = f"store {address(driver)}: "
    if isinstance(error, redis.exceptions.BusyLoadingError | redis.exceptions.ReadOnlyError):
        return Again(f"{where}not now ({said(error)})")
    if isinstance(error, redis.exceptions.AuthenticationError | redis.exceptions.ResponseError):
        return StoreError(
            f"{where}the server refuses the connection ({said(error)}); look at the user, the password and the "
            "number of the database in the store's URL"
        )
    return Again(f"{where}the server cannot be reached ({said(error)})")


def packed(words: tuple[str | bytes, ...]) -> bytes:
    """A command as it goes to the server. No numbers among the words: a signal handler that raises while hiredis
    (3.5) writes one as text makes it crash the process."""
    whole: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return whole


def said(error: Exception) -> str:
    if isinstance(error, BlockingIOError):  # how the kernel says it
        return "timed out"
    return str(error).rstrip(".") or type(error).__name__
