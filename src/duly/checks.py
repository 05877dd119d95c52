"""What the values of settings are checked with: each check gives the value to keep, or says what was expected."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from duly.celery_names import reason

Check = Callable[[Any], Any]
"""Gives the value to keep, or raises ValueError saying what was expected."""


def text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text that is not empty")
    return value


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected True or False")
    return value


def whole(least: int, most: int | None = None) -> Check:
    def check(value: Any) -> int:
        if (
            isinstance(value, bool)
            or not isinstance(value, int)
            or value < least
            or (most is not None and value > most)
        ):
            raise ValueError(
                f"expected a whole number of {least} or more" if most is None else f"expected {least} to {most}"
            )
        return value

    return check


def seconds(least: float = 0.0, most: float = math.inf) -> Check:
    limits = f"{least:g} or more" if most == math.inf else f"{least:g} to {most:g}"

    def check(value: Any) -> float:
        if isinstance(value, timedelta):
            value = value.total_seconds()
        number = not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
        if not number or not least <= value <= most:
            raise ValueError(f"expected a number of seconds, {limits}")
        return float(value)

    return check


def keeping(value: Any) -> float | None:
    """How long finished jobs are kept, in seconds; None: for ever."""
    return seconds()(value) or None if value is not None else None


def rate(value: Any) -> Any:
    from duly.rates import parse_rate

    parse_rate(value)
    return value


POOLS = ("process", "thread", "async")
CELERY_POOLS = {"prefork": "process", "processes": "process", "threads": "thread"}


def pool(value: Any) -> str:
    if value == "solo":
        raise ValueError('for one job at once say "process", and worker_concurrency = 1')
    if isinstance(value, str) and (why := reason(value)) is not None:
        raise ValueError(why)
    if value not in (*POOLS, *CELERY_POOLS):
        raise ValueError(f"expected one of {', '.join(POOLS)}")
    return CELERY_POOLS.get(value, str(value))


def one_of(*values: str) -> Check:
    def check(value: Any) -> str:
        if value not in values:
            raise ValueError(f"expected one of {', '.join(values)}")
        return str(value)

    return check


def texts(value: Any) -> tuple[str, ...]:
    """Names: one with commas, or a list."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list | tuple | set | frozenset) or not all(isinstance(x, str) and x for x in value):
        raise ValueError("expected a list of names")
    return tuple(sorted(value)) if isinstance(value, set | frozenset) else tuple(value)


def urls(value: Any) -> str:
    """One URL, or several: a list, or a text with semicolons, which is what is kept."""
    if isinstance(value, list | tuple) and value and all(isinstance(x, str) and x for x in value):
        return ";".join(value)
    if not isinstance(value, str) or not value:
        raise ValueError("expected a URL, like amqp://guest:guest@localhost:5672//, or a list of them")
    return value


def zone(value: Any) -> str:
    if value is None:  # Celery's default
        return "UTC"
    if isinstance(value, ZoneInfo):
        value = value.key
    try:
        ZoneInfo(value)
    except Exception:  # a wrong type, an unknown name, a path outside the database: all the same to the user
        raise ValueError('expected a name of the time zone database, like "Europe/Berlin"') from None
    return str(value)


def by_task(value: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(options, Mapping) for name, options in value.items()
    ):
        raise ValueError('expected options by task name, like {"tasks.add": {"rate_limit": "10/m"}}')
    return MappingProxyType({name: MappingProxyType(dict(options)) for name, options in value.items()})


def queues(what: str) -> Check:
    def check(value: Any) -> Mapping[str, int]:
        from duly.turns import numbered

        return MappingProxyType(numbered(value, what))

    return check


def task_queues(value: Any) -> Any:
    from duly.bindings import queues_of

    return queues_of(value)


def task_routes(value: Any) -> Any:
    """As it was given: what reads it makes routers of it (``routing.py``)."""
    from duly.routing import routers_of

    routers_of(value)
    return MappingProxyType(dict(value)) if isinstance(value, Mapping) else value


def table(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError("expected a dict with names as keys")
    return dict(value)


def maybe(check: Check) -> Check:
    return lambda value: None if value is None else check(value)
