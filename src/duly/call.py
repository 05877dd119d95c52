"""The options of a call, and the Job they make.

What is wrong with a call is said where it is made: TypeError for a wrong type or an unknown option, ValueError
for a value out of range; both name the option and the value.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any, TypedDict, cast, get_args

import msgspec

from duly.celery_names import not_needed
from duly.clock import MICROS, from_micros, to_micros
from duly.codec import encode_value
from duly.config import did_you_mean
from duly.ids import new_id
from duly.job import MAX_PRIORITY, Flag, Job, OnConflict, Options, WhenLate

if TYPE_CHECKING:
    from duly.routing import Routing

log = logging.getLogger("duly")

MAX_INSTANT = 253_402_300_799_999_999
"""The last microsecond of the year 9999 UTC, after which datetime has no name for an instant."""


MAX_TEXT = 500
"""Bytes that an id, a key, or the name of a task or queue may have in UTF-8."""


class CallOptions(TypedDict, total=False):
    """What ``apply_async`` takes beside the arguments."""

    countdown: float | None  # seconds from now
    eta: datetime | None  # a naive one is read in the app's time zone
    expires: float | timedelta | datetime | None  # not started at or after; a number: seconds from now
    queue: str | None
    exchange: str | None  # with routing_key: the queue that is bound by it
    routing_key: str | None
    priority: int | None  # 0..9, 9 first
    key: str | None  # unique among waiting and running jobs
    on_conflict: OnConflict  # what to do when the key is held; "skip"
    link: Any  # a signature, or a list of them, to run with the result
    link_error: Any  # the same, to run if it ends without success
    headers: Mapping[str, Any] | None  # carried along, seen as self.request.headers
    task_id: str | None  # instead of a new id; a job of that id is stored once
    soft_time_limit: float | None  # seconds
    time_limit: float | None  # seconds
    max_retries: int | None
    ignore_result: bool | None
    on_late: WhenLate | None  # what to do if it can start only more than late_tolerance after its due
    late_tolerance: float | None  # seconds


class Call:
    """One call of a bulk: ``Call((1, 2), {"z": 3}, countdown=10)``."""

    __slots__ = ("args", "kwargs", "options")

    def __init__(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, **options: Any) -> None:
        """``options`` are those of ``apply_async``."""
        check_names(options)
        self.args = args
        self.kwargs = kwargs or {}
        self.options = options


class Defaults(msgspec.Struct, frozen=True):
    """What a task brings to each of its jobs."""

    task: str
    queue: str
    priority: int
    flags: int
    expires: float | None  # seconds
    routing: Routing | None = None  # the app's; None: there is no app
    route: Mapping[str, Any] = {}  # options of calls that a route says, without those of the destination
    sensitive: tuple[str | int, ...] = ()  # names and positions of arguments that are not shown to people


def check_names(options: Mapping[str, Any]) -> None:
    """Refuse options that do not exist."""
    for name in options:
        if name not in _NAMES:
            raise TypeError(f"a call has no option {name!r}{not_needed(name) or did_you_mean(name, _NAMES)}")


def make_job(task: Defaults, args: bytes, options: CallOptions, now: int, zone: tzinfo) -> Job:
    """The Job of a call. Raises TypeError and ValueError for options that are wrong."""
    check_names(options)
    for name in ("link", "link_error"):
        if options.get(name):
            raise TypeError(
                f"{name}={options.get(name)!r}: a call of a bulk links to nothing; call a group of signatures"
            )
    if task.route:
        options = cast(CallOptions, {**task.route, **options})
    due = due_of(options.get("countdown"), options.get("eta"), now, zone)
    return Job(
        id=_text("task_id", options.get("task_id")) or new_id(),
        task=task.task,
        due=due,
        args=args,
        queue=_queue(task, options),
        priority=_priority(options.get("priority"), task.priority),
        expires=_expires(options.get("expires"), task.expires, due, now, zone),
        key=_text("key", options.get("key")),
        on_conflict=_on_conflict(options),
        headers=_headers(options.get("headers")),
        options=_overrides(options, task.sensitive),
        flags=_flags(task.flags, options.get("ignore_result")),
    )


def due_of(countdown: float | timedelta | None, eta: datetime | None, now: int, zone: tzinfo) -> int:
    """The instant of a countdown (seconds from now) or an eta; ``now`` without either."""
    if eta is not None:
        if countdown is not None:
            raise ValueError(f"countdown={countdown!r} and eta={eta!r} contradict each other; give one")
        return _instant("eta", eta, zone)
    if countdown is None:
        return now
    seconds = _seconds("countdown", countdown)
    if now + seconds * MICROS > MAX_INSTANT:
        raise ValueError(f"countdown={countdown!r} is after the year 9999; it is in seconds")
    return now + round(seconds * MICROS)


def _instant(name: str, moment: datetime, zone: tzinfo) -> int:
    if not isinstance(moment, datetime):
        raise TypeError(f"{name}={moment!r}: expected a datetime; for seconds from now there is countdown")
    try:
        instant = to_micros(moment, zone)
    except OverflowError:
        instant = MAX_INSTANT + 1 if moment.year > 5000 else -1
    if instant < 0:
        raise ValueError(f"{name}={moment!r} is before 1970; instants start there")
    if instant > MAX_INSTANT:
        raise ValueError(f"{name}={moment!r} is after the year 9999 in UTC")
    if moment.tzinfo is None:
        _warn_of_other_zone(name, moment, instant, zone)
    return instant


def _warn_of_other_zone(name: str, moment: datetime, instant: int, zone: tzinfo) -> None:
    """Say, once per process, that a naive time is not read by this machine's clock, if that shows another time."""
    global _zone_was_said
    try:
        here = to_micros(moment.astimezone(), UTC)
    except (OverflowError, OSError, ValueError):  # at the ends of the calendar
        return
    if here != instant and not _zone_was_said:
        _zone_was_said = True
        log.warning(
            "%s=%s has no time zone and is read in the app's, %s, where this machine's clock shows another time: it "
            "means %s. Use an aware time like datetime.now(UTC) + timedelta(days=1), or countdown, or set timezone; "
            "this is said once", name, moment, zone, from_micros(instant, UTC).isoformat(sep=" "),
        )  # fmt: skip


def _seconds(name: str, value: float | timedelta) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}={value!r}: expected a number of seconds")
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{name}={value!r}: expected a number of seconds, 0 or more")
    return value


def _expires(
    value: float | timedelta | datetime | None, default: float | None, due: int, now: int, zone: tzinfo
) -> int | None:
    if value is None:
        value = default
    if value is None:
        return None
    if isinstance(value, datetime):
        at = _instant("expires", value, zone)
    else:
        at = min(now + round(_seconds("expires", value) * MICROS), MAX_INSTANT)
    if at <= due:
        raise ValueError(
            f"expires={value!r} is {from_micros(at, zone)}, not after the job is due ({from_micros(due, zone)}): "
            "it could never start"
        )
    return at


def _text(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r}: expected a text")
    if not value:
        raise ValueError(f"{name}='' is empty; leave it out instead")
    check_length(name, value)
    return value


def check_length(name: str, value: str) -> None:
    """Raise ValueError for a text that cannot be an id, a key or a name in a store: too long for what a worker notes
    of a job that it runs, or with what no database keeps whole."""
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{name}={value[:50]!r} holds half a surrogate pair, which has no UTF-8 form") from None
    if size > MAX_TEXT:
        raise ValueError(f"{name}={value[:50]!r}... has {size:,} bytes; at most {MAX_TEXT} are allowed")
    if "\0" in value:
        raise ValueError(f"{name}={value[:50]!r} holds a NUL character")


def _queue(task: Defaults, options: CallOptions) -> str:
    queue = task.routing.destination(options) if task.routing is not None else options.get("queue")
    return _text("queue", queue) or task.queue


def _priority(value: int | None, default: int) -> int:
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"priority={value!r}: expected a whole number")
    if not 0 <= value <= MAX_PRIORITY:
        raise ValueError(f"priority={value}: expected 0 to {MAX_PRIORITY}; {MAX_PRIORITY} runs first")
    return value


def _on_conflict(options: CallOptions) -> OnConflict:
    value = options.get("on_conflict")
    if value is None:
        return "skip"
    if value not in get_args(OnConflict):
        raise ValueError(f"on_conflict={value!r}: expected one of {', '.join(get_args(OnConflict))}")
    if options.get("key") is None:
        raise ValueError(f"on_conflict={value!r} needs a key")
    return value


def _headers(value: Mapping[str, Any] | None) -> bytes | None:
    if not value:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise TypeError(f"headers={value!r}: expected a dict with text keys")
    return encode_value(dict(value), "headers")


def _overrides(options: CallOptions, sensitive: tuple[str | int, ...]) -> bytes | None:
    chosen = Options(
        soft_time_limit=limit("soft_time_limit", options.get("soft_time_limit")),
        time_limit=limit("time_limit", options.get("time_limit")),
        max_retries=count(options.get("max_retries")),
        on_late=_on_late(options.get("on_late")),
        late_tolerance=_tolerance(options.get("late_tolerance")),
        sensitive=sensitive,
    )
    check_limits(chosen.soft_time_limit, chosen.time_limit)
    return None if chosen == _NO_OVERRIDES else msgspec.json.encode(chosen)


def _on_late(value: WhenLate | None) -> WhenLate | None:
    if value is not None and value not in get_args(WhenLate):
        raise ValueError(f"on_late={value!r}: expected one of {', '.join(get_args(WhenLate))}")
    return value


def _tolerance(value: float | timedelta | None) -> float | None:
    return None if value is None else float(_seconds("late_tolerance", value))


def limit(name: str, value: Any) -> float | None:
    """A time limit in seconds, above 0, or None."""
    if value is None:
        return None
    seconds = _seconds(name, value)
    if seconds <= 0:
        raise ValueError(f"{name}={value!r}: expected a number of seconds above 0")
    return float(seconds)


def check_parts(args: object, kwargs: object) -> None:
    """Refuse what is no list of arguments and no dict of named ones. Raises TypeError."""
    if isinstance(args, str | bytes) or not isinstance(args, Sequence):
        raise TypeError(f"args={args!r}: expected a list or tuple of the arguments; for one argument: (x,)")
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise TypeError(f'kwargs={kwargs!r}: expected a dict of arguments by name, like {{"x": 4}}')


def check_limits(soft: float | None, hard: float | None) -> None:
    """Refuse a soft limit (seconds; None: no limit) that can never be reached. Raises ValueError."""
    if soft and hard and soft >= hard:
        raise ValueError(
            f"soft_time_limit={soft:g} is never reached: the task is killed at time_limit={hard:g}; make it smaller"
        )


def count(value: Any, name: str = "max_retries") -> int | None:
    """A whole number, 0 or more, or None."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r}: expected a whole number")
    if value < 0:
        raise ValueError(f"{name}={value}: expected 0 or more")
    return value


def _flags(flags: int, ignore_result: bool | None) -> int:
    if ignore_result is None:
        return flags
    return flags | Flag.IGNORE_RESULT if ignore_result else flags & ~Flag.IGNORE_RESULT


_zone_was_said = False
_NO_OVERRIDES = Options()
_NAMES = tuple(CallOptions.__annotations__)
