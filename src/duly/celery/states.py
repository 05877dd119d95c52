"""``celery.states``: Celery's names for the states of a job, and which of duly's each stands for."""

from __future__ import annotations

PENDING = "PENDING"
RECEIVED = "RECEIVED"
STARTED = "STARTED"
SUCCESS = "SUCCESS"
FAILURE = "FAILURE"
REVOKED = "REVOKED"
REJECTED = "REJECTED"
RETRY = "RETRY"
IGNORED = "IGNORED"

READY_STATES = frozenset({SUCCESS, FAILURE, REVOKED})
UNREADY_STATES = frozenset({PENDING, RECEIVED, STARTED, REJECTED, RETRY})
EXCEPTION_STATES = frozenset({RETRY, FAILURE, REVOKED})
PROPAGATE_STATES = frozenset({FAILURE, REVOKED})
ALL_STATES = frozenset({PENDING, RECEIVED, STARTED, SUCCESS, FAILURE, RETRY, REVOKED})
NONE_PRECEDENCE = 6

_PRECEDENCE = (SUCCESS, FAILURE, None, REVOKED, STARTED, RECEIVED, REJECTED, RETRY, PENDING)

_OF_DULY = {
    "unknown": PENDING,
    "scheduled": PENDING,
    "held": PENDING,
    "queued": PENDING,
    "retrying": RETRY,
    "running": STARTED,
    "succeeded": SUCCESS,
    "failed": FAILURE,
    "cancelled": REVOKED,
    "uncertain": FAILURE,
}


def of(name: str) -> str:
    """Celery's name for one of duly's."""
    return _OF_DULY[name]


def precedence(state: str | None) -> int:
    """How far a state is from SUCCESS; a smaller one wins over a larger one."""
    known = state if state in _PRECEDENCE else None
    return _PRECEDENCE.index(known)


class state(str):  # noqa: N801 - Celery's name
    """A state that is compared by how far the job has come: ``state(PENDING) < state(SUCCESS)``."""

    __slots__ = ()

    def __gt__(self, other: str) -> bool:
        return precedence(self) < precedence(other)

    def __ge__(self, other: str) -> bool:
        return precedence(self) <= precedence(other)

    def __lt__(self, other: str) -> bool:
        return precedence(self) > precedence(other)

    def __le__(self, other: str) -> bool:
        return precedence(self) >= precedence(other)
