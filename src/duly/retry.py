"""When a failed task runs again. Pure: retries and a policy in, seconds out."""

from __future__ import annotations

import random
from typing import Protocol

import msgspec


class Rng(Protocol):
    """The one thing asked of a source of chance; ``random`` itself is one."""

    def uniform(self, a: float, b: float, /) -> float: ...


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A task's retry settings; Celery's names and defaults."""

    max_retries: int | None = 3  # None: for ever
    default_retry_delay: float = 180.0  # seconds, where there is no backoff
    autoretry_for: tuple[type[BaseException], ...] = ()
    dont_autoretry_for: tuple[type[BaseException], ...] = ()
    retry_backoff: bool | float = False  # seconds before the first retry; True: 1
    retry_backoff_max: float = 600.0  # seconds
    retry_jitter: bool = True  # a random share of the delay instead of all of it

    def covers(self, exc: BaseException) -> bool:
        """Whether ``exc`` is to be retried by itself."""
        return isinstance(exc, self.autoretry_for) and not isinstance(exc, self.dont_autoretry_for)


def delay(retries: int, policy: Policy, rng: Rng = random) -> float:
    """Seconds until the next run, after ``retries`` earlier ones.

    With backoff they double: factor, 2 x factor, 4 x factor... up to the maximum; jitter takes a random
    share of that, so that jobs which failed together do not come back together.
    """
    if policy.retry_backoff is False:
        return policy.default_retry_delay
    ceiling = min(policy.retry_backoff_max, float(policy.retry_backoff) * 2.0 ** min(retries, 64))
    return rng.uniform(0.0, ceiling) if policy.retry_jitter else ceiling


def exhausted(retries: int, max_retries: int | None) -> bool:
    """Whether no further retry is allowed."""
    return max_retries is not None and retries >= max_retries
