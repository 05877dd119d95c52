"""Names of Celery's that duly has no need of, or has otherwise: options of tasks and of calls, pools, verbs.

Whoever brings a Celery app along is told what becomes of a name, in one line, where it is refused. Pure data.
"""

from __future__ import annotations

_ACKS = "a job stays in the store until it has ended and is run again if its worker dies; not with at_most_once"
_BROKER = 'there is no broker: store="sqlite:///path/duly.db" is all there is'
_BACKEND = "results are kept in the store, beside their jobs"
_JSON = "arguments and results are JSON, by the task's annotations"
_EVENTS = "the store knows everything that happens: duly status --watch"

_REASONS = {
    # options of tasks and of calls
    "acks_late": _ACKS,
    "acks_on_failure_or_timeout": _ACKS,
    "backend": _BACKEND,
    "compression": _JSON,
    "connection": _BROKER,
    "producer": _BROKER,
    "reject_on_worker_lost": _ACKS,
    "send_events": _EVENTS,
    "serializer": _JSON,
    "shadow": "a job goes by its task's name; headers carry what else is to be seen",
    "store_errors_even_if_ignored": "errors are always kept",
    "track_started": "the store always knows what runs",
    "trail": "there is no tree of results",
    "typing": "arguments are always checked against the function's signature",
    # pools
    "eventlet": "write the task as async def and use -P async; blocking code runs with -P thread",
    "gevent": "write the task as async def and use -P async; blocking code runs with -P thread",
    "custom": "the pools are process, thread and async",
}  # fmt: skip

REMOTE = {
    "enable_events": "the store knows everything that happens: duly status --watch",
    "disable_events": "the store knows everything that happens: duly status --watch",
    "heartbeat": "the heartbeat is the worker's lease; duly status shows it",
    "pool_restart": "restart the worker (jobs survive it), or start it with --reload",
    "autoscale": "start the worker with --autoscale MAX,MIN, or use pool_grow and pool_shrink",
    "terminate": "duly control revoke ID --terminate",
    "election": "there is no leader among workers",
    "clock": "workers have no clock of their own making; duly doctor judges the host's",
    "memdump": "duly inspect stats says what a worker's supervisor uses",
    "memsample": "duly inspect stats says what a worker's supervisor uses",
    "hello": "workers do not talk to each other",
    "objgraph": "duly inspect stats says what a worker's supervisor uses",
}
"""Celery's verbs of remote control and inspection that are not here, and what is instead."""


def reason(name: str) -> str | None:
    """Why duly has no such name, if it is one of Celery's: one clause, without a full stop."""
    return _REASONS.get(name)


def not_needed(name: str) -> str:
    """``; it is Celery's and not needed here: ...`` for a name of Celery's, else nothing."""
    why = reason(name)
    return f"; it is Celery's and not needed here: {why}" if why else ""


def remote(what: str, name: str) -> AttributeError:
    """The error for an attribute of ``app.control`` or ``inspect()`` that is not there."""
    why = f"; it is Celery's and not here: {REMOTE[name]}" if name in REMOTE else ""
    return AttributeError(f"{what} has no {name!r}{why}")
