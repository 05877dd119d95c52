"""The options of a task: their names, types and units, and the check that each passes where it is declared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import Parameter, Signature
from typing import Any, TypedDict, get_args

from duly.call import MAX_TEXT, check_length, check_limits
from duly.celery_names import not_needed
from duly.config import did_you_mean
from duly.errors import ConfigError
from duly.job import WhenLate
from duly.rates import parse_rate


class TaskOptions(TypedDict, total=False):
    """What ``@app.task(...)`` takes; what is left out comes from the app's settings."""

    name: str  # "module.function" unless given
    queue: str
    exchange: str  # with routing_key: the queue that is bound by it
    routing_key: str
    priority: int  # 0..9, 9 first
    max_retries: int | None  # None: for ever
    default_retry_delay: float  # seconds; 180
    autoretry_for: tuple[type[BaseException], ...]
    dont_autoretry_for: tuple[type[BaseException], ...]
    throws: tuple[type[BaseException], ...]  # failures that are expected: logged as INFO, without traceback
    retry_backoff: bool | float  # seconds before the first retry; True: 1
    retry_backoff_max: float  # seconds; 600
    retry_jitter: bool  # True
    soft_time_limit: float | None  # seconds
    time_limit: float | None  # seconds
    at_most_once: bool
    ignore_result: bool
    expires: float | None  # seconds from the call
    on_late: WhenLate  # what to do with a job that can start only more than late_tolerance after its due; "run"
    late_tolerance: float  # seconds; 60
    rate_limit: str | float | None  # starts over all workers: "10/m", or per second
    max_concurrency: int | None  # running at once, over all workers
    limit_key: Callable[..., object] | None  # called with the arguments; both limits then hold for each key by itself
    sensitive: Sequence[str]  # parameters whose arguments dashboards do not show


def hidden(task: str, signature: Signature, names: Sequence[str]) -> tuple[str | int, ...]:
    """The sensitive parameters, and the positions they may be given at. Raises ConfigError for an unknown one."""
    parameters = signature.parameters
    takes_any = any(parameter.kind is Parameter.VAR_KEYWORD for parameter in parameters.values())
    found: list[str | int] = []
    for name in names:
        if name not in parameters and not takes_any:
            raise ConfigError(
                f"task {task}: sensitive={name!r} is none of its parameters{did_you_mean(name, parameters)}"
            )
        found.append(name)
        if name in parameters and parameters[name].kind in (
            Parameter.POSITIONAL_ONLY,
            Parameter.POSITIONAL_OR_KEYWORD,
        ):
            found.append(list(parameters).index(name))
    return tuple(found)


def check_options(name: str, options: TaskOptions) -> None:
    """Raise ConfigError for options of task ``name`` that do not exist or cannot be."""
    for key, value in options.items():
        check = CHECKS.get(key)
        if check is None:
            raise ConfigError(f"task {name}: no option {key!r}{not_needed(key) or did_you_mean(key, CHECKS)}")
        if not check(value):
            raise ConfigError(f"task {name}: {key}={value!r}; expected {_EXPECTED[key]}")
    try:
        check_limits(options.get("soft_time_limit"), options.get("time_limit"))
    except ValueError as exc:
        raise ConfigError(f"task {name}: {exc}") from None


def _name(value: Any) -> bool:
    try:
        check_length("name", value)
    except (ValueError, AttributeError, TypeError):
        return False
    return bool(value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _limit(value: Any) -> bool:
    return value is None or (_number(value) and value > 0)


def _rate(value: Any) -> bool:
    try:
        parse_rate(value)
    except ValueError:
        return False
    return True


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _names(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(isinstance(name, str) and name for name in value)


def _exceptions(value: Any) -> bool:
    return isinstance(value, tuple | list) and all(
        isinstance(x, type) and issubclass(x, BaseException) for x in value
    )


_OPTIONS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_name, f"a text of at most {MAX_TEXT} bytes"),
    "queue": (_name, f"a text of at most {MAX_TEXT} bytes"),
    "exchange": (lambda v: isinstance(v, str), "a text"),
    "routing_key": (_name, f"a text of at most {MAX_TEXT} bytes"),
    "priority": (lambda v: _whole(v) and v <= 9, "0 to 9"),
    "max_retries": (lambda v: v is None or _whole(v), "a whole number, or None for no limit"),
    "default_retry_delay": (_number, "seconds"),
    "autoretry_for": (_exceptions, "a tuple of exception classes"),
    "dont_autoretry_for": (_exceptions, "a tuple of exception classes"),
    "throws": (_exceptions, "a tuple of exception classes"),
    "retry_backoff": (lambda v: isinstance(v, bool) or _number(v), "True, False or seconds"),
    "retry_backoff_max": (_number, "seconds"),
    "retry_jitter": (lambda v: isinstance(v, bool), "True or False"),
    "soft_time_limit": (_limit, "seconds above 0, or None"),
    "time_limit": (_limit, "seconds above 0, or None"),
    "at_most_once": (lambda v: isinstance(v, bool), "True or False"),
    "ignore_result": (lambda v: isinstance(v, bool), "True or False"),
    "expires": (_limit, "seconds above 0, or None"),
    "on_late": (lambda v: v in get_args(WhenLate), '"run", "skip" or "fail"'),
    "late_tolerance": (_number, "seconds"),
    "rate_limit": (_rate, '"10/m", a number (per second), or None'),
    "max_concurrency": (lambda v: v is None or (_whole(v) and v > 0), "a whole number above 0, or None"),
    "sensitive": (_names, 'a tuple of names of parameters, like ("password",)'),
    "limit_key": (lambda v: v is None or callable(v), "a function of the task's arguments, or None"),
}
CHECKS = {name: check for name, (check, _) in _OPTIONS.items()}
_EXPECTED = {name: expected for name, (_, expected) in _OPTIONS.items()}


def spelled(task: Any) -> dict[str, str]:
    """The options of a task that say something, its own or the app's, as text; what it is called is none of them."""
    values = {name: getattr(task, name) for name in CHECKS if name != "name"}
    return {name: str(value) for name, value in values.items() if value not in (None, (), [], "")}
