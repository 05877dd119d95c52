"""Limits as an app's code declares them, and as people change them at run time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from duly.job import Limit
from duly.rates import parse_rate
from duly.store.contract import Store

if TYPE_CHECKING:
    from duly.task import Task

Scope = Literal["task", "queue", "key"]


def declared(tasks: Iterable[Task[..., Any]]) -> list[Limit]:
    """What the tasks' options ``rate_limit``, ``max_concurrency`` and ``limit_key`` say. With a ``limit_key`` the
    limits hold for each key by itself."""
    limits = []
    for task in tasks:
        default = task.app.conf.task_default_rate_limit
        rate, per = parse_rate(task.options.get("rate_limit", default)) or (None, 0)
        concurrency = task.options.get("max_concurrency")
        if rate is None and concurrency is None:
            continue
        scope: Scope = "key" if task.options.get("limit_key") else "task"
        limits.append(Limit(scope=scope, name=task.name, rate=rate, per=per, concurrency=concurrency, declared=True))
    return limits


def set_rate(store: Store, name: str, rate: str | float | None, scope: Scope = "task") -> Limit:
    """Put a rate in force by hand; the concurrency stays. Raises ValueError for what is no rate."""
    starts, per = parse_rate(rate) or (None, 0)
    limit = msgspec.structs.replace(in_force(store, name, scope), rate=starts, per=per, declared=False)
    store.set_limit(limit)
    return limit


def set_concurrency(store: Store, name: str, most: int | None, scope: Scope = "task") -> Limit:
    """Put a number of jobs at once in force by hand; the rate stays. Raises ValueError below 1; None: no limit."""
    if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
        raise ValueError(f"max_concurrency={most!r}: expected a whole number of 1 or more, or None for no limit")
    limit = msgspec.structs.replace(in_force(store, name, scope), concurrency=most, declared=False)
    store.set_limit(limit)
    return limit


def in_force(store: Store, name: str, scope: Scope) -> Limit:
    """The limit of a task, queue or key; one that limits nothing where there is none."""
    found = (limit for limit in store.limits() if (limit.scope, limit.name) == (scope, name))
    return next(found, Limit(scope=scope, name=name))
