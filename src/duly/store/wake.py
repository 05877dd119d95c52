"""Wake-ups between the processes of one host: datagram sockets in a folder beside the store's file.

Who waits binds a socket named after its channel; who changed something sends one byte to each of them.
A wake-up carries no information and may be lost (a full buffer, a folder that cannot be written): every
waiter also looks by itself each second, so what is lost is that second at most, never a job.

A process that dies leaves its socket file behind; the next sender finds nobody there and removes it.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
import socket
import threading
import time
from pathlib import Path

from duly.errors import StoreUnavailable

_SUN_PATH = 100  # bytes of a socket path that every Unix takes (Linux 108, macOS 104)
_SETTLED = 50_000_000  # ns: a folder changed this recently may change again without its mtime moving
_GONE = {errno.ECONNREFUSED, errno.ENOENT}


class Hub:
    """The wake-ups of one store in this process.

    1. ``listen`` makes the folder and binds a socket in it.
    2. ``notify`` sends to every socket of the channel; the folder's listing is kept until it changes. It never
       fails: what is lost is a hint.
    3. ``close`` lets go of the socket it sends from and of the folder; a later ``notify`` opens them again.
    """

    def __init__(self, folder: Path, mode: int) -> None:
        """``mode``: the permission bits of the store's file, so that who may write it may wake others."""
        self.folder = folder
        self._mode = mode & 0o666
        self._sender: socket.socket | None = None
        self._listing: dict[str, list[str]] = {}
        self._seen = -1  # st_mtime_ns of the folder when it was listed; -1: list again
        self._base: str | None = None
        self._descriptor: int | None = None  # of the folder, if its path is too long

    def listen(self, channel: str) -> SocketListener:
        """Raises StoreUnavailable if no socket can be made beside the file."""
        name = f"{channel}-{os.getpid()}-{next(_numbers)}"
        path = self.folder / name
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            self._make_folder()
            path.unlink(missing_ok=True)
            address = f"{self._prefix()}/{name}"
            sock.setblocking(False)
            sock.bind(address)
            path.chmod(self._mode)
            return SocketListener(sock, address, path)
        except OSError as error:
            sock.close()
            raise StoreUnavailable(
                f"wake-ups in {self.folder}: {error.strerror or error}; whoever waits for jobs or results needs to "
                "write the folder of the store's file"
            ) from error

    def notify(self, channel: str) -> None:
        for name in self._names(channel):
            try:
                self._socket().sendto(b"!", socket.MSG_DONTWAIT, f"{self._prefix()}/{name}")
            except OSError as error:
                if error.errno in _GONE:
                    self._seen = -1
                    with contextlib.suppress(OSError):
                        os.unlink(self.folder / name)
                # Anything else, a full buffer above all, means that its owner has enough to wake up for.

    def close(self) -> None:
        """Let go of what sends; the next notify opens it again. Listeners are closed by who made them."""
        sender, self._sender = self._sender, None
        if sender is not None:
            sender.close()
        descriptor, self._descriptor, self._base = self._descriptor, None, None
        if descriptor is not None:
            os.close(descriptor)

    def _names(self, channel: str) -> list[str]:
        try:
            changed = os.stat(self.folder).st_mtime_ns
        except OSError:
            return []
        if changed != self._seen or time.time_ns() - changed < _SETTLED:
            listing: dict[str, list[str]] = {}
            with contextlib.suppress(OSError):
                for name in os.listdir(self.folder):
                    listing.setdefault(name.partition("-")[0], []).append(name)
            self._listing, self._seen = listing, changed
        return self._listing.get(channel, [])

    def _make_folder(self) -> None:
        if not self.folder.is_dir():
            self.folder.mkdir(exist_ok=True)
            read_bits = self._mode & 0o444
            self.folder.chmod(self._mode | read_bits >> 2 | 0o700)  # whoever reads may enter

    def _prefix(self) -> str:
        """The folder as sockets take it: a path too long for them is reached through a descriptor."""
        if self._base is None:
            base = str(self.folder)
            if len(os.fsencode(base)) + 40 > _SUN_PATH:
                self._descriptor = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
                base = f"/proc/self/fd/{self._descriptor}"
            self._base = base
        return self._base

    def _socket(self) -> socket.socket:
        if self._sender is None:
            self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        return self._sender


class SocketListener:
    """A bound socket; see ``contract.Listener``."""

    def __init__(self, sock: socket.socket, address: str, path: Path) -> None:
        self._sock = sock
        self._path = path
        self._pid = os.getpid()
        self._poker = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._poker.setblocking(False)
        self._poker.connect(address)

    def wait(self, timeout: float) -> bool:
        if not readable(timeout, self._sock.fileno()):
            return False
        self._drain()
        return True

    def poke(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake already; closed: nobody waits
            self._poker.send(b"!")

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()
        self._poker.close()
        if os.getpid() == self._pid:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._sock.recv(16)


class LocalHub:
    """Wake-ups inside one process: all there is for a store in memory, the last step for one on a server."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[LocalListener]] = {}
        self._lock = threading.Lock()

    def listen(self, channel: str) -> LocalListener:
        listener = LocalListener(self, channel)
        self.adopt(listener, channel)
        return listener

    def adopt(self, listener: LocalListener, channel: str) -> None:
        with self._lock:
            self._listeners.setdefault(channel, []).append(listener)

    def members(self, channel: str) -> list[LocalListener]:
        """Who listens to a channel now."""
        with self._lock:
            return list(self._listeners.get(channel, ()))

    def notify(self, channel: str) -> None:
        for listener in self.members(channel):
            listener.poke()

    def close(self) -> None:
        """Nothing to let go of."""

    def drop(self, listener: LocalListener, channel: str) -> None:
        with self._lock:
            self._listeners[channel].remove(listener)


class LocalListener:
    """A socket pair; see ``contract.Listener``."""

    def __init__(self, hub: LocalHub, channel: str) -> None:
        self._hub = hub
        self._channel = channel
        self._reader, self._writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def wait(self, timeout: float) -> bool:
        if not readable(timeout, self._reader.fileno()):
            return False
        with contextlib.suppress(BlockingIOError):
            while True:
                self._reader.recv(16)
        return True

    def poke(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.send(b"!")

    def fileno(self) -> int:
        return self._reader.fileno()

    def close(self) -> None:
        if self._reader.fileno() >= 0:
            self._hub.drop(self, self._channel)
            self._reader.close()
            self._writer.close()


def readable(timeout: float | None, *fds: int) -> set[int]:
    """Wait for these (None: for ever), and give those that can be read.

    Not by poll(), whose millisecond steps would be lateness; epoll's are, too, before Linux 5.11. select() stops at
    descriptor 1023, so a process with more open uses poll() after all.
    """
    timeout = None if timeout is None else max(timeout, 0.0)
    if max(fds) < 1024:
        return set(select.select(fds, [], [], timeout)[0])
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return {fd for fd, _ in poll.poll(None if timeout is None else timeout * 1000)}


_numbers = itertools.count()
