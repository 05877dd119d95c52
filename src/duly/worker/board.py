"""The board: memory that a supervisor shares with one executor.

The executor writes what it is about to run; the supervisor reads it when a limit has to be enforced, or when
the executor died and somebody has to say what it was doing. In the other direction the supervisor writes
until when its worker's lease certainly holds; an executor that sees this pass ends itself.

What has ended and is not settled yet stands in the *journal*: what a task did must not be done again because
its process died between the task's end and the store's commit.

Layout: a header, then one slot per concurrent job, then the journal. A slot is a mark and two places for lease
bytes; the writer fills the place that the mark does not point at, then moves the mark, so that a kill in between
leaves the previous job whole. A mark half written points at bytes that do not decode, and reads as "nothing".
The journal's length is written after what it counts.

All instants here are seconds on CLOCK_MONOTONIC, which the processes of one host share.
"""

from __future__ import annotations

import mmap
import os
import struct
import tempfile
import threading
from collections.abc import Callable, Iterable

import msgspec

from duly.job import Lease, Outcome

SLOT_SIZE = 64 * 1024
_HEADER_SIZE = 4096
_MARK_SIZE = 64
_PLACE_SIZE = (SLOT_SIZE - _MARK_SIZE) // 2
_MARK = struct.Struct("<IIddd")  # place, length (0: idle), started, hard deadline, retry delay
_DEADLINE_AT = 16  # where the hard deadline is in a mark
_DEADLINE = struct.Struct("<d")
_LENGTH_AT = 8  # in the header: how much of the journal is written
_LENGTH = struct.Struct("<Q")
_SIZE = struct.Struct("<I")
_JOURNAL_SIZE = 1024 * 1024  # reserved, not used, until something is written
_IDLE = _MARK.pack(0, 0, 0.0, 0.0, -1.0)
NO_RETRY = -1.0

_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Lease)
_outcome_decoder = msgspec.msgpack.Decoder(Outcome)


class Running(msgspec.Struct, frozen=True):
    """What one slot of a board says."""

    lease: Lease  # without its arguments when they are too big for the slot
    started: float
    deadline: float  # hard time limit; 0: none
    retry: float  # seconds until another run if the hard limit ends it; negative: no other run


def make() -> int:
    """A new, empty board; gives its file descriptor, which children inherit if told to."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("duly-board")
    fd, path = tempfile.mkstemp(prefix="duly-board-")
    os.unlink(path)
    return fd


class Board:
    """One side's view of a board. Each slot has one writer at a time."""

    def __init__(self, fd: int, slots: int) -> None:
        self._journal = _HEADER_SIZE + slots * SLOT_SIZE
        size = self._journal + _JOURNAL_SIZE
        if os.fstat(fd).st_size < size:
            os.ftruncate(fd, size)
        self._memory = mmap.mmap(fd, size)
        self._slots = slots
        self._place = [0] * slots
        self._written = 0  # bytes of the journal
        self._sealed = False
        self._lock = threading.Lock()  # of the journal

    def close(self) -> None:
        """Give the memory back; with the last descriptor of it, it is gone."""
        self._memory.close()

    # -- the executor's side -----------------------------------------------------------------------

    def start(self, slot: int, lease: Lease, started: float, deadline: float, retry: float) -> None:
        """Say that ``lease`` is being run now. Raises ValueError, and says nothing, if its names have no room here:
        such a job must not run, because nobody could tell that it was lost."""
        data = _encode(lease)
        if len(data) > _PLACE_SIZE:
            data = _encode(_shortened(lease))
        if len(data) > _PLACE_SIZE:
            raise ValueError(f"the job's id, task and queue have more than {_PLACE_SIZE:,} bytes; it cannot run")
        place = self._place[slot] ^ 1
        self._place[slot] = place
        base = _HEADER_SIZE + slot * SLOT_SIZE
        at = base + _MARK_SIZE + place * _PLACE_SIZE
        length = len(data)
        self._memory[at : at + length] = data
        _MARK.pack_into(self._memory, base, place, length, started, deadline, retry)

    def ended(self, slot: int) -> None:
        """Say that the job is over, so that its hard limit no longer counts; it is not settled yet."""
        _DEADLINE.pack_into(self._memory, _HEADER_SIZE + slot * SLOT_SIZE + _DEADLINE_AT, 0.0)

    def idle(self, slot: int) -> None:
        """Say that nothing is being run."""
        base = _HEADER_SIZE + slot * SLOT_SIZE
        self._memory[base : base + _MARK.size] = _IDLE

    def note(self, outcome: Outcome) -> bool:
        """Put an outcome in the journal, in case this process dies before it is settled; False if it is full."""
        with self._lock:
            return self._sealed or self._append(outcome)

    def keep(self, unsettled: Callable[[], Iterable[Outcome]]) -> None:
        """Only what ``unsettled`` gives is unsettled now. One that stands twice, or is settled after all, does no
        harm: its token is stale then.

        It is asked here, so that what another thread ends meanwhile is in its answer, or noted after it.
        """
        with self._lock:
            if self._sealed:
                return
            self._written = 0
            _LENGTH.pack_into(self._memory, _LENGTH_AT, 0)
            for outcome in unsettled():
                self._append(outcome)

    def seal(self) -> None:
        """What ends from now on is not noted any more: this process is about to end what its tasks have started."""
        with self._lock:
            self._sealed = True

    def _append(self, outcome: Outcome) -> bool:
        data = _encode(outcome)
        at = self._journal + self._written
        end = self._written + _SIZE.size + len(data)
        if end > _JOURNAL_SIZE:
            return False
        _SIZE.pack_into(self._memory, at, len(data))
        self._memory[at + _SIZE.size : at + _SIZE.size + len(data)] = data
        self._written = end
        _LENGTH.pack_into(self._memory, _LENGTH_AT, end)
        return True

    def lease_end(self) -> float:
        """Until when the worker's lease certainly holds."""
        end: float = _DEADLINE.unpack_from(self._memory, 0)[0]
        return end

    # -- the supervisor's side ---------------------------------------------------------------------

    def hold_until(self, end: float) -> None:
        _DEADLINE.pack_into(self._memory, 0, end)

    def running(self) -> list[Running]:
        """What the executor was running when this was read."""
        found = []
        for slot in range(self._slots):
            base = _HEADER_SIZE + slot * SLOT_SIZE
            place, length, started, deadline, retry = _MARK.unpack_from(self._memory, base)
            if not 0 < length <= _PLACE_SIZE or place > 1:
                continue
            at = base + _MARK_SIZE + place * _PLACE_SIZE
            try:
                lease = _decoder.decode(self._memory[at : at + length])
            except msgspec.MsgspecError:
                continue
            found.append(Running(lease, started, deadline, retry))
        return found

    def unsettled(self) -> list[Outcome]:
        """The journal: what ended here and may not be settled."""
        (written,) = _LENGTH.unpack_from(self._memory, _LENGTH_AT)
        found, at, end = [], self._journal, self._journal + min(written, _JOURNAL_SIZE)
        while at + _SIZE.size <= end:
            (size,) = _SIZE.unpack_from(self._memory, at)
            at += _SIZE.size + size
            try:
                found.append(_outcome_decoder.decode(self._memory[at - size : at]))
            except msgspec.MsgspecError:
                break
        return found

    def earliest_deadline(self) -> float:
        """The first hard deadline on the board, 0 if there is none; decodes nothing."""
        first = 0.0
        for slot in range(self._slots):
            mark = _MARK.unpack_from(self._memory, _HEADER_SIZE + slot * SLOT_SIZE)
            if mark[1] and mark[3] and (not first or mark[3] < first):
                first = mark[3]
        return first


def _shortened(lease: Lease) -> Lease:
    """The lease without what settling it does not need."""
    return msgspec.structs.replace(lease, args=b"", headers=None, options=None)


def private(slots: int) -> Board:
    """A board that no other process looks at."""
    fd = make()
    try:
        return Board(fd, slots)
    finally:
        os.close(fd)  # the board has its memory mapped
