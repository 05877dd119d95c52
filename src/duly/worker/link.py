"""The control link between supervisor and executor: a socket pair that carries one JSON object a line.

=========  =========================================  ==========================================
message    fields                                     meaning
=========  =========================================  ==========================================
*supervisor to executor*
load       :class:`Load`                              import the app, say hello
go         :class:`Go`                                run jobs for this worker incarnation
serve      :class:`Serve`                             from now on: these queues, these time limits
cancel     job, token                                 this attempt of a job was asked to stop
stop                                                  finish what runs, release the rest, leave
*executor to supervisor*
hello      :class:`Hello`                             the app is loaded; what it says
failed     text                                       the app cannot be loaded; why
files      names                                      source files in use (only with reload)
=========  =========================================  ==========================================

End of file means that the other side is gone; an executor then leaves at once.
"""

from __future__ import annotations

import socket
from typing import Any

import msgspec

from duly.job import Limit, Schedule
from duly.messages import TimeLimit
from duly.overrides import NO_OVERRIDES, Overrides
from duly.worker.logs import LogFormat


class Load(msgspec.Struct, frozen=True, kw_only=True, tag="load", tag_field="say"):
    """What an executor needs to import the app."""

    app: str
    store: str | None
    workdir: str
    loglevel: str
    logfile: str | None
    label: str  # "worker/1", for the log
    logformat: LogFormat = "text"
    overrides: Overrides = NO_OVERRIDES


class Go(msgspec.Struct, frozen=True, kw_only=True, tag="go", tag_field="say"):
    """What an executor needs to run jobs."""

    worker: int  # the incarnation
    name: str  # "name@host"
    slot: int
    pool: str
    slots: int  # jobs this executor runs at once
    queues: tuple[str, ...]  # one round of turns
    homes: tuple[str | None, ...]  # for each slot the one queue it is kept for; None: any
    poll: float  # seconds between looks at the store when no wake-up comes
    lease: float  # seconds that a renewal lasts
    soft_time_limit: float | None
    time_limit: float | None
    max_tasks: int | None  # leave after so many
    reload: bool
    time_limits: list[TimeLimit] = []  # set at run time


class Serve(msgspec.Struct, frozen=True, kw_only=True, tag="serve", tag_field="say"):
    """What may change while an executor runs."""

    queues: tuple[str, ...]  # one round of turns
    time_limits: list[TimeLimit]  # set at run time


class Cancel(msgspec.Struct, frozen=True, tag="cancel", tag_field="say"):
    job: str
    token: int


class Stop(msgspec.Struct, frozen=True, tag="stop", tag_field="say"):
    pass


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag="hello", tag_field="say"):
    """What the supervisor needs from the app, which it does not import itself."""

    store: str
    tasks: tuple[str, ...]
    options: dict[str, dict[str, str]]  # by task: its options that say something, as text
    queues: dict[str, int]  # by weight
    reserve: dict[str, int]  # slots by queue
    pool: str
    concurrency: int
    lease: float  # seconds
    poll: float  # seconds
    cancel_grace: float  # seconds a task has to react to a cancellation
    max_lost: int
    keep: float | None  # seconds to keep succeeded and cancelled jobs
    keep_failed: float | None
    max_tasks: int | None
    max_memory: int | None  # KiB
    files: tuple[str, ...]
    limits: list[Limit]  # declared by its tasks
    app: str  # its name
    schedules: tuple[Schedule, ...]  # declared by its code
    conf: dict[str, Any]  # every setting, without passwords; what has no JSON form as text
    known: tuple[str, ...] | None = None  # the only queues there may be; None: any
    broker: bool = False  # it has one, whose messages are to be taken in


class Failed(msgspec.Struct, frozen=True, tag="failed", tag_field="say"):
    text: str


class Files(msgspec.Struct, frozen=True, tag="files", tag_field="say"):
    names: tuple[str, ...]


Order = Load | Go | Serve | Cancel | Stop
Report = Hello | Failed | Files

_encode = msgspec.json.Encoder().encode
orders: msgspec.json.Decoder[Order] = msgspec.json.Decoder(Order)
reports: msgspec.json.Decoder[Report] = msgspec.json.Decoder(Report)


class Link:
    """One end. Reading belongs to one thread; :meth:`send` may be called from any."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._rest = b""

    def fileno(self) -> int:
        return self._end.fileno()

    def send(self, message: Order | Report) -> bool:
        """False if the other side is gone, which whoever reads will see too."""
        try:
            self._end.sendall(_encode(message) + b"\n")
        except OSError:
            return False
        return True

    def lines(self) -> list[bytes] | None:
        """Wait for and take what has arrived, as whole lines; None at end of file."""
        try:
            data = self._end.recv(65536)
        except OSError:
            data = b""
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    def set_nonblocking(self) -> None:
        """From now on :meth:`lines` takes what is there instead of waiting."""
        self._end.setblocking(False)

    def close(self) -> None:
        self._end.close()
