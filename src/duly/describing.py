"""A job, a task, a queue and a worker in the form in which Celery's remote control describes them. Pure.

Scripts and dashboards index into these, so every field that Celery's have is there; what has no meaning here says so
by its value (no prefetch: 0; no process of one job's own: None).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec

from duly.bindings import Binding
from duly.clock import MICROS, from_micros
from duly.job import JobView, Limit
from duly.rates import format_rate
from duly.secrecy import visible

Described = dict[str, Any]

_STATES = {"running": "active", "queued": "reserved", "retrying": "reserved", "held": "reserved",
           "scheduled": "scheduled"}  # fmt: skip

RATE = "rate_limit"
"""The option of a task that is shown of every task; the one that may have been set by hand."""

_NOT_DECLARED: Described = {
    "queue_arguments": None, "binding_arguments": None, "consumer_arguments": None, "durable": True,
    "exclusive": False, "auto_delete": False, "no_ack": False, "alias": None, "bindings": [], "no_declare": None,
    "expires": None, "message_ttl": None, "max_length": None, "max_length_bytes": None, "max_priority": None,
}  # fmt: skip
_EXCHANGE: Described = {"arguments": None, "durable": True, "passive": False, "auto_delete": False,
                        "delivery_mode": None, "no_declare": False}  # fmt: skip
_BROKER: Described = {
    "insist": False, "connect_timeout": None, "transport_options": {}, "login_method": None, "uri_prefix": None,
    "heartbeat": None, "failover_strategy": "round-robin", "alternates": [], "credential_provider": None,
}  # fmt: skip


def request(job: JobView, begun: bool = False, safe: bool = False) -> Described:
    """A job. ``begun``: it has started, not only been reserved; ``safe``: arguments as text. What is sensitive is
    hidden."""
    args, kwargs = _arguments(job)
    return {
        "id": job.id,
        "name": job.task,
        "type": job.task,
        "args": repr(tuple(args)) if safe else args,
        "kwargs": repr(kwargs) if safe else kwargs,
        "hostname": job.worker,
        "time_start": None if job.started is None else job.started / MICROS,
        "acknowledged": begun,
        "worker_pid": None,
        "delivery_info": {"exchange": "", "routing_key": job.queue, "priority": job.priority,
                          "redelivered": job.attempt > 1},
    }  # fmt: skip


def state(name: str) -> str:
    """Celery's word for a state of a job: active, reserved, scheduled; ready, once it has ended."""
    return _STATES.get(name, "ready")


def appointment(job: JobView, safe: bool = False) -> Described:
    """A job that is due ahead."""
    return {
        "eta": from_micros(job.due).isoformat(),
        "priority": job.priority,
        "request": request(job, safe=safe),
    }


def task(name: str, options: Mapping[str, Any]) -> str:
    """A task and some of its options: ``name [rate_limit=10/m max_retries=3]``."""
    said = " ".join(f"{option}={value}" for option, value in options.items())
    return f"{name} [{said}]" if said else name


def rates(limits: Iterable[Limit]) -> dict[str, str]:
    """The rate limits in force, by task."""
    return {
        limit.name: format_rate(limit.rate, limit.per)
        for limit in limits
        if limit.scope in ("task", "key") and limit.rate is not None
    }


def queue(name: str, bindings: Iterable[Binding]) -> Described:
    """A queue, and what leads to it: one of ``bindings``, else its own name."""
    mine = [one for one in bindings if one.queue == name] or [Binding(name, name, "direct", name)]
    found: Described = {"name": name, "exchange": _exchange(mine[0]), "routing_key": mine[0].key, **_NOT_DECLARED}
    if len(mine) > 1:
        found["bindings"] = [
            {"exchange": _exchange(one), "routing_key": one.key, "arguments": None, "unbind_arguments": None}
            for one in mine
        ]
    return found


def stats(said: Mapping[str, Any], brokers: Sequence[str], limits: tuple[float | None, float | None]) -> Described:
    """What a worker says of itself, with Celery's fields; ``limits``: the app's soft and hard time limit."""
    pool = dict(said.get("pool") or {})
    pool |= {
        "max-tasks-per-child": pool.get("max-tasks-per-child") or "N/A",
        "implementation": f"duly {pool.get('implementation')}",
        "put-guarded-by-semaphore": False,
        "timeouts": [limit or 0 for limit in limits],
    }
    return {**said, "pool": pool, "broker": _broker(brokers), "prefetch_count": 0}


def _exchange(binding: Binding) -> Described:
    return {"name": binding.exchange, "type": binding.type, **_EXCHANGE}


def _broker(urls: Sequence[str]) -> Described:
    """Where it is, without a password."""
    if not urls:
        return {}
    parts = urlsplit(urls[0])
    where = {"hostname": parts.hostname, "userid": parts.username, "virtual_host": parts.path.lstrip("/") or "/",
             "port": parts.port, "transport": parts.scheme, "ssl": parts.scheme in ("amqps", "rediss")}  # fmt: skip
    return {**where, **_BROKER}


def _arguments(job: JobView) -> tuple[Any, Any]:
    shown = visible(job)
    try:
        args, kwargs = msgspec.json.decode(shown)
    except (msgspec.DecodeError, ValueError, TypeError):  # not written by duly: show what is there
        return [shown.decode("utf-8", "backslashreplace")], {}
    return args, kwargs
