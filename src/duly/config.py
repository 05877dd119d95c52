"""The settings of an app, ``app.conf``: every name, type, range, default and unit in one place.

Names are Celery's, in lower case. A wrong type, a value out of range and an unknown name are refused where
they are set, with ConfigError.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from datetime import timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, TypeVar, overload
from urllib.parse import quote
from zoneinfo import ZoneInfo

from duly.celery_names import modern, not_needed
from duly.errors import ConfigError
from duly.job import MAX_PRIORITY

T = TypeVar("T")
Check = Callable[[Any], Any]
"""Gives the value to keep, or raises ValueError saying what was expected."""


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("expected a text that is not empty")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("expected True or False")
    return value


def _whole(least: int, most: int | None = None) -> Check:
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


def _seconds(least: float = 0.0) -> Check:
    def check(value: Any) -> float:
        if isinstance(value, timedelta):
            value = value.total_seconds()
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
            raise ValueError(f"expected a number of seconds, {least:g} or more")
        return float(value)

    return check


def _one_of(*values: str) -> Check:
    def check(value: Any) -> str:
        if value not in values:
            raise ValueError(f"expected one of {', '.join(values)}")
        return str(value)

    return check


def _zone(value: Any) -> str:
    if isinstance(value, ZoneInfo):
        value = value.key
    try:
        ZoneInfo(value)
    except Exception:  # a wrong type, an unknown name, a path outside the database: all the same to the user
        raise ValueError('expected a name of the time zone database, like "Europe/Berlin"') from None
    return str(value)


def _annotations(value: Any) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(options, Mapping) for name, options in value.items()
    ):
        raise ValueError('expected options by task name, like {"tasks.add": {"rate_limit": "10/m"}}')
    return MappingProxyType({name: MappingProxyType(dict(options)) for name, options in value.items()})


def _queues(what: str) -> Check:
    def check(value: Any) -> Mapping[str, int]:
        from duly.turns import numbered

        return MappingProxyType(numbered(value, what))

    return check


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ValueError("expected a dict with names as keys")
    return dict(value)


def _maybe(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


class Setting(Generic[T]):
    """One setting: its default, and the check that its values pass."""

    def __init__(self, default: T, check: Check) -> None:
        self.default = default
        self.check = check

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, instance: Settings, owner: type) -> T: ...
    def __get__(self, instance: Settings | None, owner: type) -> Setting[T] | T:
        if instance is None:
            return self
        return instance.changed.get(self.name, self.default)  # type: ignore[no-any-return]

    def __set__(self, instance: Settings, value: T) -> None:
        try:
            checked = self.check(value)
        except ValueError as exc:
            raise ConfigError(f"setting {self.name} = {value!r}: {exc}") from None
        object.__setattr__(instance, "changed", {**instance.changed, self.name: checked})


class Table(Setting[dict[str, Any]]):
    """A setting that is a dict of its owner's, so that entries may be added to it in place."""

    def __init__(self) -> None:
        super().__init__({}, _table)

    def __get__(self, instance: Settings | None, owner: type) -> Any:
        if instance is None:
            return self
        own: dict[str, Any] = instance.__dict__.setdefault("_tables", {}).setdefault(self.name, {})
        return instance.changed.get(self.name, own)


class Settings(MutableMapping[str, Any]):
    """``app.conf``: the settings as attributes and as a mapping. Durations are seconds (or a timedelta)."""

    timezone = Setting[str]("UTC", _zone)
    """In which a naive ``eta`` is read, and schedules are computed."""

    store = Setting[str | None](None, _maybe(_text))
    """URL of the store. None: ``DULY_STORE`` in the environment, else a file beside the app's module."""

    task_default_queue = Setting[str]("default", _text)
    """The queue of tasks and calls that name none."""

    task_default_priority = Setting[int](0, _whole(0, MAX_PRIORITY))
    """0 to 9; 9 is run first."""

    task_ignore_result = Setting[bool](False, _flag)
    """Keep no return values, of tasks that do not say otherwise."""

    task_always_eager = Setting[bool](False, _flag)
    """Run tasks at once in the calling process instead of storing jobs; for tests."""

    task_eager_propagates = Setting[bool](False, _flag)
    """With ``task_always_eager``: ``delay`` raises what the task raised, instead of ``get``."""

    task_time_limit = Setting[float | None](None, _maybe(_seconds(0.001)))
    """Seconds after which a running task is killed; None: never."""

    task_soft_time_limit = Setting[float | None](None, _maybe(_seconds(0.001)))
    """Seconds after which SoftTimeLimitExceeded is raised inside the task; None: never."""

    task_max_retries = Setting[int | None](3, _maybe(_whole(0)))
    """How often a task may ask to be run again; None: for ever."""

    task_annotations = Setting[Mapping[str, Mapping[str, Any]]](MappingProxyType({}), _annotations)
    """Options of tasks by their names, "*" for every task; they stand above those in the code."""

    task_at_most_once = Setting[bool](False, _flag)
    """A job whose worker died while it ran ends uncertain, instead of being run again."""

    result_expires = Setting[float](86_400.0, _seconds())
    """Seconds for which succeeded and cancelled jobs are kept: one day."""

    failed_expires = Setting[float](30 * 86_400.0, _seconds())
    """Seconds for which failed and uncertain jobs are kept: 30 days."""

    beat_schedule = Table()
    """Recurring work: name to a dict with the keys task, schedule, args, kwargs, options and those of schedules."""

    worker_concurrency = Setting[int | None](None, _maybe(_whole(1)))
    """Jobs a worker runs at once; None: as many as there are CPUs."""

    worker_queues = Setting[Mapping[str, int]](MappingProxyType({}), _queues("weight"))
    """The queues a worker serves, each with its weight: {"notify": 4, "crawl": 1}. Empty: the default queue."""

    worker_reserve = Setting[Mapping[str, int]](MappingProxyType({}), _queues("number of slots"))
    """Slots of a worker that serve one queue only: {"notify": 1}."""

    worker_pool = Setting[str]("process", _one_of("process", "thread", "async"))
    """What runs the jobs: process, thread or async."""

    worker_lease = Setting[float](10.0, _seconds(1.0))
    """Seconds without a sign of life after which a worker's jobs are given to others."""

    worker_poll_interval = Setting[float](1.0, _seconds(0.001))
    """Seconds between looks into the store when no wake-up comes."""

    worker_max_lost = Setting[int](3, _whole(1))
    """A job whose workers died this often fails with WorkerLost."""

    worker_max_tasks_per_child = Setting[int | None](None, _maybe(_whole(1)))
    """Jobs after which an executor process is replaced; None: never."""

    worker_max_memory_per_child = Setting[int | None](None, _maybe(_whole(1)))
    """Resident memory in KiB above which an executor process is replaced; None: no limit."""

    worker_cancel_grace = Setting[float](10.0, _seconds())
    """Seconds a cancelled task has for cleaning up before it is killed."""

    def __init__(self, **settings: Any) -> None:
        # what was set, by name; replaced at each change, so that its identity says whether anything changed
        self.changed: Mapping[str, Any]
        object.__setattr__(self, "changed", {})
        self.update(settings)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(_known(name), value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise ConfigError(_unknown(name))

    def __getitem__(self, name: str) -> Any:
        if name not in NAMES:
            raise KeyError(_unknown(name))
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def __delitem__(self, name: str) -> None:
        kept = {key: value for key, value in self.changed.items() if key != _known(name)}
        object.__setattr__(self, "changed", kept)

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.changed.items())})"


NAMES = tuple(name for name, value in vars(Settings).items() if isinstance(value, Setting))
"""Every setting, in the order they are written down."""


def _known(name: str) -> str:
    if name not in NAMES:
        raise ConfigError(_unknown(name))
    return name


def _unknown(name: str) -> str:
    return f"no setting {name!r}{not_needed(name) or did_you_mean(modern(name), NAMES)}"


def did_you_mean(name: str, names: Any) -> str:
    """``; did you mean 'x'?`` for a name close to one of ``names``, else nothing."""
    close = nearest(str(name), [str(n) for n in names])
    return f"; did you mean {close!r}?" if close is not None else ""


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of ``names`` that ``name`` is probably meant to be: alike, or alike in its last part (``add`` for
    ``tasks.add``, ``Pars`` for ``Europe/Paris``), or its beginning."""
    known = list(names)
    lasts = {re.split(r"[./]", each)[-1]: each for each in reversed(known)}
    if name in lasts:
        return lasts[name]
    begun = [each for each in known if len(name) > 2 and each.startswith(name)]
    if len(begun) == 1:
        return begun[0]
    if close := difflib.get_close_matches(name, known, n=1):
        return close[0]
    close = difflib.get_close_matches(name, lasts, n=1, cutoff=0.75)
    return lasts[close[0]] if close else None


def store_url(conf: Settings, app: str, module_file: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """Where the app's jobs live: what was set, else ``DULY_STORE``, else a file beside the app's module.

    The file's place depends on nothing but the module, so that a worker and its clients agree whatever their working
    directories are. Without a module file (the interactive prompt) it is the working directory;
    for a module installed in site-packages, the user's state folder.
    """
    if conf.store is not None:
        return conf.store
    if environ.get("DULY_STORE"):
        return environ["DULY_STORE"]
    return "sqlite:///" + quote(str(_default_file(app, module_file, environ)))


def _default_file(app: str, module_file: str | None, environ: Mapping[str, str]) -> Path:
    name = re.sub(r"[^\w.-]", "_", app) + ".duly.db"
    if module_file is None or not os.path.isfile(module_file):
        return Path.cwd() / name
    folder = Path(module_file).resolve().parent
    if not _is_installed(folder):
        return folder / name
    state = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "duly" / name


def _is_installed(folder: Path) -> bool:
    if {"site-packages", "dist-packages"} & set(folder.parts):
        return True
    return folder.is_relative_to(Path(sysconfig.get_path("stdlib")).resolve())
