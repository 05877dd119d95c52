"""Pid files: the process that wrote one holds a lock on it, so a file that a killed process left is known as stale,
even if its pid is another process's by now."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from types import TracebackType

import click

_FLOCK = "hhqqi4x"  # struct flock of Linux: type, whence, start, length, pid


class PidFile:
    """``with PidFile(path): ...``. Raises ClickException if a living process has it, or if it cannot be written.

    The lock is a POSIX record lock: it belongs to this process, children do not inherit it, and the kernel lets go of
    it however the process ends.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.abspath(path)
        self._file = -1

    def __enter__(self) -> PidFile:
        try:
            while not self._take():  # its last holder left and removed it just now: once more
                os.close(self._file)
            os.ftruncate(self._file, 0)
            os.write(self._file, f"{os.getpid()}\n".encode())
        except BlockingIOError:
            raise click.ClickException(
                f"pid file {self.path}: process {holder(self.path)} has it and is alive; stop that one first, or "
                "name another file with --pidfile"
            ) from None
        except OSError as error:
            raise click.ClickException(f"pid file {self.path}: {error.strerror}") from None
        return self

    def _take(self) -> bool:
        """Open and lock; False if what is locked is not the file of that name any more."""
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            return os.path.samestat(os.fstat(self._file), os.stat(self.path))
        except FileNotFoundError:
            return False

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self.path)
        os.close(self._file)


def holder(path: str) -> int | None:
    """The living process that holds a pid file; None if there is no such file, or nobody has it any more."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise click.ClickException(f"pid file {path}: {error.strerror}") from None
    try:
        wanted = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, wanted))
    finally:
        os.close(file)
    return None if kind == fcntl.F_UNLCK else pid
