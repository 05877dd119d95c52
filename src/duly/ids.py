"""Ids of jobs."""

from __future__ import annotations

import os
import random
import time

_random = random.Random()  # our own: a program that seeds the shared one must not get the same ids again
os.register_at_fork(after_in_child=_random.seed)


def new_id() -> str:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 bits of the millisecond's fraction (its method 3), 62 random.

    Safe from any thread: ``getrandbits`` is one step. Random enough to be unique, not to be a secret.
    """
    millis, rest = divmod(time.time_ns(), 1_000_000)
    bits = _random.getrandbits
    return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - half the time of an f-string
        millis >> 16, millis & 0xFFFF, rest * 4096 // 1_000_000, 0x8000 | bits(14), bits(48)
    )  # fmt: skip
