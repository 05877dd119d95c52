"""What the two loops ask of a broker. RabbitMQ and Redis answer in their own ways.

Both halves may be used by several relays at once. Both raise BrokerAway when the broker does not answer; then what
was going on has happened or not, and after ``reconnect`` it can be told which.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from duly.gateway.envelope import Envelope


class Raw(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A message as it came. What it takes to put it somewhere so that nobody sees a difference."""

    body: bytes
    properties: bytes = b""  # RabbitMQ: the content header in AMQP's encoding
    step: str = ""  # Redis: what follows the queue's name in its list's, for the priority


class Taken(msgspec.Struct, frozen=True):
    """A message that the broker still has, for us."""

    inbox: str
    raw: Raw
    tag: Any  # the broker's handle
    again: bool = False  # somebody has taken it before, and may have stored it just now


class Put(msgspec.Struct, frozen=True):
    """A message to put on a queue."""

    id: str  # the job's
    raw: Raw
    attempt: int  # of the job: one that was released is counted again, with the same number
    lost: int  # how many attempts before this one died, and may have put it


class Form(Protocol):
    """How the broker writes a message."""

    def envelope(self, raw: Raw) -> Envelope:
        """Raises DecodeError."""
        ...

    def changed(self, raw: Raw, envelope: Envelope) -> Raw:
        """The message with this envelope in the place of its own."""
        ...

    def new(self, envelope: Envelope, queue: str) -> Raw:
        """A message of ours, for a queue."""
        ...

    def priority(self, number: int) -> int:
        """From the broker's priority to duly's, 0 to 9 with 9 first, and back."""
        ...


class Intake(Protocol):
    """Takes messages off inboxes."""

    @property
    def form(self) -> Form: ...

    def take(self, wait: float) -> list[Taken]:
        """What has come, after at most ``wait`` seconds. Whatever is not finished comes again, to us or others."""
        ...

    def has(self, queues: Collection[str]) -> set[str]:
        """Those of these queues that there are."""
        ...

    def finish(self, kept: Sequence[Taken], forward: Sequence[tuple[Taken, str]]) -> list[Taken]:
        """Let go of what is kept, and put the others on the queues beside them; in one step, whatever dies meanwhile.
        Gives those whose queue was not there: they are nobody's now."""
        ...

    def reconnect(self) -> None:
        """Begin anew. What was taken and not finished is given back."""
        ...

    def close(self) -> None: ...


class Putter(Protocol):
    """Puts messages on queues, each once whatever dies meanwhile."""

    @property
    def form(self) -> Form: ...

    def claim(self) -> Sequence[str]:
        """The inboxes whose messages we may put now. Others may have the rest."""
        ...

    def unsettled(self, inbox: str) -> Collection[str]:
        """The ids of jobs that were put, for all that the broker knows not settled. Of an inbox that was claimed."""
        ...

    def put(self, inbox: str, target: str, messages: Sequence[Put]) -> Mapping[str, str]:
        """Put those that are not put yet; gives what could not be put, by id, with the reason. When this returns, the
        broker has confirmed all others."""
        ...

    def settled(self, inbox: str, ids: Collection[str]) -> None:
        """The store knows what became of these: they may be forgotten."""
        ...

    def tend(self) -> None:
        """To be called each second: heartbeats are answered, and what was to be done with the next commit is done."""
        ...

    def reconnect(self) -> None: ...

    def close(self) -> None: ...
