"""Where an app's settings come from: modules, objects, dicts, the environment, the command line.

``Configurable`` has the app's methods for it, in Celery's words. Everything is read and checked where it is called;
what is set later counts more than what was set before.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, Literal

import msgspec

from duly.celery_settings import modern, reason
from duly.config import NAMES, Settings, did_you_mean, exists, is_slip, unknown
from duly.errors import ConfigError
from duly.routing import Routing

log = logging.getLogger("duly")

_MODULES = "DJANGO_SETTINGS_MODULE"


class Configurable:
    """The part of an app that takes settings and knows which modules have its tasks."""

    conf: Settings

    def __init__(self) -> None:
        self._discoveries: list[Callable[[], list[str]]] = []
        self._routing: Routing
        self._routed: Mapping[str, Any] | None = None  # the settings that _routing was made of

    @property
    def routing(self) -> Routing:
        """Where its calls go, as the settings have it now. Raises ConfigError."""
        changed = self.conf.changed
        if self._routed is not changed:
            self._routing, self._routed = Routing(self.conf), changed
        return self._routing

    def config_from_object(
        self, obj: object, silent: bool = False, force: bool = False, namespace: str | None = None
    ) -> bool:
        """Take the settings of a module, a class, an object or a mapping; or of what a text names: "celeryconfig",
        "proj.config:Production", "django.conf:settings".

        ``namespace="CELERY"``: only those whose names begin with CELERY_. A module's own helpers (functions, classes,
        modules it imported) are no settings. ``silent``: False is given instead of an error if there is no such
        module. ``force`` changes nothing: settings are always read at once.

        Raises ConfigError: no such module, a wrong value, an unknown name.
        """
        try:
            source, label = source_of(obj)
        except ConfigError:
            if silent:
                return False
            raise
        take(self.conf, source, label, namespace)
        return True

    def config_from_envvar(self, variable_name: str, silent: bool = False, force: bool = False) -> bool:
        """:meth:`config_from_object` of what an environment variable names. Raises ConfigError, unless ``silent``, if
        it is not set."""
        name = os.environ.get(variable_name)
        if name:
            return self.config_from_object(name, silent, force)
        if silent:
            return False
        raise ConfigError(
            f"config_from_envvar({variable_name!r}): the environment variable is not set; it is to name a module of "
            f"settings: export {variable_name}=celeryconfig"
        )

    def config_from_cmdline(self, argv: Sequence[str], namespace: str = "celery") -> None:
        """Take settings as the command line has them: ``worker.concurrency=4``, ``timezone=Europe/Berlin``. Values
        are Python literals, else texts. ``namespace`` may stand before the names. Raises ConfigError."""
        for word in argv:
            name, equals, text = word.partition("=")
            setting = name.strip().replace(".", "_").removeprefix(f"{namespace}_")
            if not equals or not setting:
                raise ConfigError(f"setting {word!r}: expected NAME=VALUE, like worker_concurrency=4")
            _set_from_text(self.conf, setting, text.strip())
            self.conf.sources[modern(setting, NAMES)] = "command line"

    def add_defaults(self, defaults: Mapping[str, Any] | Callable[[], Mapping[str, Any]]) -> None:
        """Settings that count where nothing else is given, now or later; or a function that gives them."""
        self.conf.add_defaults(defaults() if callable(defaults) else defaults)

    # -- which modules have tasks ----------------------------------------------------------------

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Import the module ``related_name`` of each package that has one, when a worker or the command line loads
        the app; with ``force`` now.

        ``packages``: names, or a function that gives them, called then. None: Django's installed apps.
        ``related_name=None``: the packages themselves.
        """

        def discover() -> list[str]:
            if packages is None:
                names: Iterable[str] = _installed_apps()
            else:
                names = packages() if callable(packages) else packages
            return _related(names, related_name)

        if isinstance(packages, str):
            raise ConfigError(f"autodiscover_tasks({packages!r}): expected a list of packages: [{packages!r}]")
        if not force:
            self._discoveries.append(discover)
            return
        for name in discover():
            importlib.import_module(name)

    def task_modules(self) -> list[str]:
        """The modules of tasks, beside the app's own: ``include``, ``imports`` and what was found by
        :meth:`autodiscover_tasks`. Raises ConfigError."""
        found = [*self.conf.include, *self.conf.imports]
        for discover in self._discoveries:
            found += discover()
        return list(dict.fromkeys(found))


# -- settings of a source ------------------------------------------------------------------------


class Remark(msgspec.Struct, frozen=True):
    """What became of one name of a source."""

    written: str
    setting: str  # today's name
    kind: Literal["set", "no effect", "not a setting", "wrong"]
    text: str  # why


def take(conf: Settings, source: object, label: str, namespace: str | None = None) -> None:
    """Set what ``source`` says. Raises ConfigError for the first thing that is wrong."""
    strangers = []
    for remark in remarks(conf, source, label, namespace):
        if remark.kind == "wrong":
            raise ConfigError(f"{label}: {remark.text}")
        if remark.kind == "not a setting":
            strangers.append(remark.written)
    if strangers:
        log.info("%s: not settings of duly's or Celery's, left alone: %s", label, ", ".join(strangers))


def remarks(conf: Settings, source: object, label: str, namespace: str | None = None) -> Iterator[Remark]:
    """Set what ``source`` says, name by name, and say of each what became of it."""
    for written, name, value in _candidates(source, namespace):
        setting = modern(name, NAMES)
        if not exists(setting):
            if _is_meant(source, name, value):
                yield Remark(written, setting, "wrong", unknown(written))
            elif not _is_helper(value):
                yield Remark(written, setting, "not a setting", "left alone")
            continue
        try:
            conf[setting] = value
        except ConfigError as exc:
            yield Remark(written, setting, "wrong", str(exc))
            continue
        conf.sources[setting] = label
        why = reason(setting)
        yield Remark(written, setting, "set" if why is None else "no effect", why or "")


def _candidates(source: object, namespace: str | None) -> list[tuple[str, str, Any]]:
    """(as it is written, without the namespace, value) of everything public."""
    names = source if isinstance(source, Mapping) else dir(source)
    prefix = f"{namespace.rstrip('_').upper()}_" if namespace else ""
    found = []
    for written in names:
        if not isinstance(written, str) or written.startswith("_") or not written.startswith(prefix):
            continue
        name = written.removeprefix(prefix)
        if prefix:  # one of the names of old has the prefix in it
            name = name.lower() if exists(name.lower()) or not exists(modern(written, NAMES)) else written
        found.append((written, name, source[written] if isinstance(source, Mapping) else getattr(source, written)))
    return found


def _is_meant(source: object, name: str, value: object) -> bool:
    """Whether an unknown name was meant as a setting: all of a dict's lower-case ones, and whatever is written nearly
    like one. The others are the helpers of a module, or the settings of somebody else (Flask's, Django's)."""
    if _is_helper(value):
        return False
    return (isinstance(source, Mapping) and name == name.lower()) or is_slip(name)


def _is_helper(value: object) -> bool:
    return isinstance(value, ModuleType | type) or inspect.isroutine(value)


def source_of(obj: object) -> tuple[object, str]:
    """The source of settings that ``obj`` is or names, and what to call it. Raises ConfigError if there is none."""
    if isinstance(obj, str):
        return _named(obj)
    if isinstance(obj, ModuleType):
        return obj, f"{obj.__name__} ({getattr(obj, '__file__', 'built in')})"
    if obj is None or isinstance(obj, int | float | list | tuple):
        raise ConfigError(f"config_from_object({obj!r}): expected a module, an object, a dict, or the name of one")
    return obj, "a dict" if isinstance(obj, Mapping) else getattr(obj, "__qualname__", type(obj).__qualname__)


def _named(spec: str) -> tuple[object, str]:
    """``module``, ``module:attribute`` or ``module.attribute``."""
    name, colon, attribute = spec.removesuffix(".py").partition(":")
    if os.getcwd() not in sys.path:  # as -A does
        sys.path.insert(0, os.getcwd())
    module = _module(name)
    if module is None and not colon and "." in name:
        name, _, attribute = name.rpartition(".")
        module = _module(name)
    if module is None:
        raise ConfigError(f"settings {spec!r}: there is no module {name!r} in {os.getcwd()} or installed")
    if not attribute:
        return module, f"{name} ({module.__file__})"
    if not hasattr(module, attribute):
        raise ConfigError(f"settings {spec!r}: {name} has no {attribute!r}{did_you_mean(attribute, dir(module))}")
    return getattr(module, attribute), spec


def _module(name: str) -> ModuleType | None:
    """None if there is no such module. What goes wrong inside of it is the user's to see, as it is."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(exc.name + ".")):
            return None
        raise


def _set_from_text(conf: Settings, name: str, text: str) -> None:
    """The text as a Python literal if the setting takes it so, else as it is."""
    try:
        value = _WORDS[text.lower()] if text.lower() in _WORDS else ast.literal_eval(text)
    except (ValueError, SyntaxError):
        conf[name] = text
        return
    try:
        conf[name] = value
    except ConfigError as exc:
        try:
            conf[name] = text
        except ConfigError:
            raise exc from None


_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": None}


# -- modules of tasks ----------------------------------------------------------------------------


def _related(packages: Iterable[str], related_name: str | None) -> list[str]:
    """``package.tasks`` of the packages that have it. Raises ConfigError for a package that is not there."""
    found = []
    for package in packages:
        module = _module(package)
        if module is None and "." in package:  # the path of a Django app's config class
            package = package.rpartition(".")[0]
            module = _module(package)
        if module is None:
            raise ConfigError(f"autodiscover_tasks: there is no package {package!r}")
        if related_name is None:
            found.append(package)
        elif hasattr(module, "__path__") and importlib.util.find_spec(f"{package}.{related_name}") is not None:
            found.append(f"{package}.{related_name}")
    return found


def _installed_apps() -> list[str]:
    if not os.environ.get(_MODULES):
        raise ConfigError(
            f"autodiscover_tasks() without packages takes Django's installed apps, and {_MODULES} is not set; name "
            'your packages otherwise: app.autodiscover_tasks(["proj"])'
        )
    django = importlib.import_module("django")  # the user's, who asked for it
    apps = importlib.import_module("django.apps").apps
    if not apps.ready:
        django.setup()
    return [config.name for config in apps.get_app_configs()]
