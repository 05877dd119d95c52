"""The settings of an app, ``app.conf``: every name, type, range, default and unit in one place.

Names are Celery's, in lower case; the names of old, in upper case, are understood. A wrong type, a value out of range
and an unknown name are refused where they are set, with ConfigError. A setting of Celery's that has no effect here is
kept beside the others (``noted``), with a word in the log; ``duly config check`` says why of each.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar, overload
from urllib.parse import quote, urlsplit

from duly import checks
from duly.bindings import EXCHANGE_TYPES, Queue
from duly.celery_settings import CELERY_NAMES, modern, readings, reason
from duly.checks import Check
from duly.errors import ConfigError
from duly.job import MAX_PRIORITY
from duly.passwords import hidden

T = TypeVar("T")

log = logging.getLogger("duly")

RABBITMQ, REDIS = ("amqp", "amqps", "pyamqp"), ("redis", "rediss")
"""Schemes of the URLs of brokers."""


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
        instance._keep(self.name, checked)


class Table(Setting[dict[str, Any]]):
    """A setting that is a dict of its owner's, so that entries may be added to it in place."""

    def __init__(self) -> None:
        super().__init__({}, checks.table)

    def __get__(self, instance: Settings | None, owner: type) -> Any:
        if instance is None:
            return self
        own: dict[str, Any] = instance.__dict__.setdefault("_tables", {}).setdefault(self.name, {})
        return instance.changed.get(self.name, own)


class Settings(MutableMapping[str, Any]):
    """``app.conf``: the settings as attributes and as a mapping. Durations are seconds (or a timedelta)."""

    timezone = Setting[str]("UTC", checks.zone)
    """In which a naive ``eta`` is read, and schedules are computed."""

    include = Setting[tuple[str, ...]]((), checks.texts)
    """Modules of tasks that a worker and the command line import, beside the app's own."""

    imports = Setting[tuple[str, ...]]((), checks.texts)
    """More of them; Celery has both names."""

    store = Setting[str | None](None, checks.maybe(checks.text))
    """URL of the store. None: ``DULY_STORE`` in the environment, else a file beside the app's module."""

    broker_url = Setting[str | None](None, checks.maybe(checks.urls))
    """A RabbitMQ, or a Redis of Celery's, whose queues workers serve too: what comes there becomes jobs. Several, in
    a list or parted by semicolons, are tried in turn."""

    broker_transport_options = Setting[Mapping[str, Any]](MappingProxyType({}), checks.table)
    """Of a broker on Redis: global_keyprefix, sep and priority_steps, as its clients have them."""

    accept_content = Setting[tuple[str, ...]](("json", "msgpack", "yaml"), checks.texts)
    """In which forms arguments are read that come through a broker, or are pickled by an app of duly.celery."""

    task_default_queue = Setting[str]("default", checks.text)
    """The queue of tasks and calls that name none."""

    task_default_queue_type = Setting[str]("classic", checks.one_of("classic", "quorum"))
    """As what the default queue is declared at a RabbitMQ that has none of the name."""

    task_create_missing_queue_type = Setting[str]("classic", checks.one_of("classic", "quorum"))
    """The same, of queues that are in no ``task_queues``."""

    task_queue_max_priority = Setting[int | None](None, checks.maybe(checks.whole(1, 255)))
    """How many priorities a RabbitMQ is to keep apart in queues that are declared; here it is always 0 to 9."""

    task_queues = Setting[tuple[Queue, ...]]((), checks.task_queues)
    """The queues there are and the routing keys that lead to them; a worker that is told nothing else serves them."""

    task_routes = Setting[Any](None, checks.task_routes)
    """Where tasks go that name no queue: by name, glob or regex, or as a function says (docs/routing.md)."""

    task_create_missing_queues = Setting[bool](True, checks.flag)
    """Whether a queue may be used that is not in ``task_queues``."""

    task_default_exchange = Setting[str | None](None, checks.maybe(checks.text))
    """What queues are bound to that name no exchange. None: it is called like the default queue."""

    task_default_exchange_type = Setting[str]("direct", checks.one_of(*EXCHANGE_TYPES))
    """How routing keys are compared there: direct, topic or fanout."""

    task_default_routing_key = Setting[str | None](None, checks.maybe(checks.text))
    """The key that leads to the default queue. None: its name."""

    task_default_priority = Setting[int](0, checks.whole(0, MAX_PRIORITY))
    """0 to 9; 9 is run first."""

    task_ignore_result = Setting[bool](False, checks.flag)
    """Keep no return values, of tasks that do not say otherwise."""

    task_always_eager = Setting[bool](False, checks.flag)
    """Run tasks at once in the calling process instead of storing jobs; for tests."""

    task_eager_propagates = Setting[bool](False, checks.flag)
    """With ``task_always_eager``: ``delay`` raises what the task raised, instead of ``get``."""

    task_time_limit = Setting[float | None](None, checks.maybe(checks.seconds(0.001)))
    """Seconds after which a running task is killed; None: never."""

    task_soft_time_limit = Setting[float | None](None, checks.maybe(checks.seconds(0.001)))
    """Seconds after which SoftTimeLimitExceeded is raised inside the task; None: never."""

    task_max_retries = Setting[int | None](3, checks.maybe(checks.whole(0)))
    """How often a task may ask to be run again; None: for ever."""

    task_annotations = Setting[Mapping[str, Mapping[str, Any]]](MappingProxyType({}), checks.by_task)
    """Options of tasks by their names, "*" for every task; they stand above those in the code."""

    task_default_rate_limit = Setting[str | float | None](None, checks.rate)
    """The ``rate_limit`` of tasks that say none."""

    task_at_most_once = Setting[bool](False, checks.flag)
    """A job whose worker died while it ran ends uncertain, instead of being run again."""

    result_expires = Setting[float | None](86_400.0, checks.keeping)
    """Seconds for which succeeded and cancelled jobs are kept: one day. None (or 0, as Celery has it): for ever."""

    result_backend = Setting[str | None](None, checks.maybe(checks.text))
    """Where Celery's clients read the results of what they send: redis://, rediss:// or rpc://. None: nowhere."""

    result_extended = Setting[bool](False, checks.flag)
    """Write there, beside a result, what was called, how, where and by whom."""

    task_track_started = Setting[bool](False, checks.flag)
    """Write there that a job has started, too; the store knows it in any case."""

    failed_expires = Setting[float | None](30 * 86_400.0, checks.keeping)
    """Seconds for which failed and uncertain jobs are kept: 30 days. None or 0: for ever."""

    beat_schedule = Table()
    """Recurring work: name to a dict with the keys task, schedule, args, kwargs, options and those of schedules."""

    worker_concurrency = Setting[int | None](None, checks.maybe(checks.whole(1)))
    """Jobs a worker runs at once; None: as many as there are CPUs."""

    worker_queues = Setting[Mapping[str, int]](MappingProxyType({}), checks.queues("weight"))
    """The queues a worker serves, each with its weight: {"notify": 4, "crawl": 1}. Empty: the default queue."""

    worker_reserve = Setting[Mapping[str, int]](MappingProxyType({}), checks.queues("number of slots"))
    """Slots of a worker that serve one queue only: {"notify": 1}."""

    worker_pool = Setting[str]("process", checks.pool)
    """What runs the jobs: process, thread or async."""

    worker_lease = Setting[float](10.0, checks.seconds(1.0))
    """Seconds without a sign of life after which a worker's jobs are given to others."""

    # Not more: a caller wakes nobody for what is due further ahead (contract.WAKE_AHEAD), and it would be late.
    worker_poll_interval = Setting[float](1.0, checks.seconds(0.001, most=2.0))
    """Seconds between looks into the store when no wake-up comes."""

    worker_max_lost = Setting[int](3, checks.whole(1))
    """A job whose workers died this often fails with WorkerLost."""

    worker_max_tasks_per_child = Setting[int | None](None, checks.maybe(checks.whole(1)))
    """Jobs after which an executor process is replaced; None: never."""

    worker_max_memory_per_child = Setting[int | None](None, checks.maybe(checks.whole(1)))
    """Resident memory in KiB above which an executor process is replaced; None: no limit."""

    worker_cancel_grace = Setting[float](10.0, checks.seconds())
    """Seconds a cancelled task has for cleaning up before it is killed."""

    worker_enable_remote_control = Setting[bool](True, checks.flag)
    """Whether a worker with a broker answers there to Celery's remote control, and sends Celery's events."""

    worker_send_task_events = Setting[bool](False, checks.flag)
    """Send events about jobs from the beginning, and not only when a monitor asks for them."""

    changed: Mapping[
        str, Any
    ]  # in force and not the default; replaced at each change, so that its identity tells one
    noted: Mapping[str, Any]  # Celery's settings without effect here
    sources: dict[str, str]  # by name: the file or option that said it, if it was not the code
    _given: Mapping[str, Any]
    _defaults: Mapping[str, Any]  # what add_defaults said: counts where nothing is given

    def __init__(self, **settings: Any) -> None:
        for field in ("changed", "noted", "sources", "_given", "_defaults"):
            self._start(field, {})
        self.update(settings)

    def _start(self, field: str, value: Any) -> None:
        object.__setattr__(self, field, value)

    def _keep(self, name: str, value: Any) -> None:
        """From a Setting: its checked value."""
        self.sources.pop(name, None)
        self._start("_given", {**self._given, name: value})
        self._start("changed", {**self._defaults, **self._given})

    def __setattr__(self, name: str, value: Any) -> None:
        now = modern(name, NAMES)
        if now in NAMES:
            super().__setattr__(now, value)
        elif (why := reason(now)) is not None:
            self._start("noted", {**self.noted, now: value})
            log.debug("setting %s has no effect here: %s", now, why)
        else:
            raise NoSetting(unknown(name))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        now = modern(name, NAMES)
        if now in NAMES:
            return getattr(self, now)
        if now in self.noted:
            return self.noted[now]
        raise NoSetting(unknown(name))

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name) if modern(name, NAMES) in NAMES else self.noted[modern(name, NAMES)]
        except KeyError:
            raise KeyError(unknown(name)) from None

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def __delitem__(self, name: str) -> None:
        now = modern(name, NAMES)
        if now not in NAMES and now not in self.noted:
            raise NoSetting(unknown(name))
        for layer in ("_given", "noted"):
            self._start(layer, {key: value for key, value in getattr(self, layer).items() if key != now})
        self._start("changed", {**self._defaults, **self._given})

    def __iter__(self) -> Iterator[str]:
        return iter((*NAMES, *self.noted))

    def __len__(self) -> int:
        return len(NAMES) + len(self.noted)

    def __repr__(self) -> str:
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in self.changed.items())})"

    def update(self, *others: Any, **settings: Any) -> None:
        """As a dict's. Upper-case names that are nobody's here (the rest of a Flask configuration) are left alone."""
        for name, value in dict(*others, **settings).items():
            if exists(modern(name, NAMES)) or not name.isupper() or is_slip(name):
                self[name] = value

    def add_defaults(self, defaults: Mapping[str, Any]) -> None:
        """Settings that count where nothing else is given, now or later. Raises ConfigError."""
        checked = Settings(**{str(name): value for name, value in defaults.items()})
        self._start("_defaults", {**self._defaults, **checked.changed})
        self._start("noted", {**checked.noted, **self.noted})
        self._start("changed", {**self._defaults, **self._given})

    def table(self, with_defaults: bool = False, censored: bool = True) -> dict[str, Any]:
        """The settings in force by name: those that were set, or all. ``censored``: without passwords."""
        values = {name: self[name] for name in self if with_defaults or name in self.changed or name in self.noted}
        return {name: censor(name, value) for name, value in values.items()} if censored else values

    def humanize(self, with_defaults: bool = False, censored: bool = True) -> str:
        """:meth:`table` as text, a setting a line."""
        return "\n".join(f"{name}: {value!r}" for name, value in self.table(with_defaults, censored).items())


class NoSetting(ConfigError, AttributeError):
    """No setting has that name; an AttributeError too, so that hasattr and getattr with a default work."""


NAMES = tuple(name for name, value in vars(Settings).items() if isinstance(value, Setting))
"""Every setting, in the order they are written down."""


_SURE = 0.8  # how alike two names are when one is a slip of the pen for the other


def exists(name: str) -> bool:
    """Whether it is a setting, or one of Celery's without effect here."""
    return name in NAMES or reason(name) is not None


def is_slip(name: str) -> bool:
    """Whether a name that is no setting is written nearly like one, and not somebody else's (Flask's, Django's)."""
    if name.isupper() and not name.startswith(("CELERY", "BROKER")):
        return False
    return any(
        difflib.get_close_matches(each, (*NAMES, *CELERY_NAMES), n=1, cutoff=_SURE) for each in _readings(name)
    )


def unknown(name: str) -> str:
    """The error of a name that is no setting, with the one it is near to."""
    if (why := reason(modern(name, NAMES))) is not None:
        return f"setting {name!r} is not set; it is Celery's and has no effect here: {why}"
    hints = (did_you_mean(each, (*NAMES, *CELERY_NAMES)) for each in _readings(name))
    return f"no setting {name!r}{next(filter(None, hints), '')}"


def _readings(name: str) -> list[str]:
    return readings(name) if name != name.lower() else [name]


_SECRET = re.compile(r"passw|secret|token|credential|(?<!routing_)key\b|_key$|auth")


def censor(name: str, value: Any) -> Any:
    """A setting's value without passwords: in URLs, and whole where the name says that it is secret."""
    if isinstance(value, str):
        if name not in NAMES and _SECRET.search(name.lower()):
            return "********"
        return hidden(value)
    if isinstance(value, Mapping):
        return {key: censor(f"{name}.{key}", each) for key, each in value.items()}
    if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
        return type(value)(censor(name, each) for each in value)
    return value


def urls_of(value: str | None) -> tuple[str, ...]:
    """Those in ``broker_url``."""
    return tuple(url.strip() for url in (value or "").split(";") if url.strip())


def broker_kind(url: str) -> Literal["rabbitmq", "redis"]:
    """Which broker a URL is of. Raises ConfigError if there is no door to it."""
    parts, known = urlsplit(url), (*RABBITMQ, *REDIS)
    rabbit = parts.scheme in RABBITMQ
    if parts.scheme not in known:
        raise ConfigError(
            f"broker {hidden(url)!r}: there is no door to {parts.scheme or 'that'}; known are {', '.join(known)}"
            f"{did_you_mean(parts.scheme, known)}"
        )
    try:
        _ = parts.port
    except ValueError as exc:
        form = "amqp://user:password@host:port/vhost" if rabbit else "redis://:password@host:port/0"
        raise ConfigError(f"broker {hidden(url)!r}: {exc}; expected {form}") from None
    return "rabbitmq" if rabbit else "redis"


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
