"""Finding the app that ``-A`` names: ``module``, ``module:attribute`` or ``package``.

A module's app is its attribute ``app``, ``duly`` or ``celery``, or the only Duly it has; failing that, the same is
looked for in its submodules ``tasks``, ``app``, ``duly`` and ``celery``.

Raises ConfigError, in words and with the file and line; another error inside the user's module is shown with the
user's part of the traceback. An app that was found is checked: its tasks and schedules, taken with its settings.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
from types import ModuleType, TracebackType

from duly import signals
from duly.app import Duly
from duly.config import did_you_mean
from duly.errors import ConfigError
from duly.overrides import NO_OVERRIDES, Overrides

_ATTRIBUTES = ("app", "duly", "celery")
_SUBMODULES = ("tasks", "app", "duly", "celery")
_BROKEN = "module {!r} cannot be imported; the error is in it, or in what it imports"


def load_app(spec: str, store: str | None = None, overrides: Overrides = NO_OVERRIDES) -> Duly:
    """The app of ``spec``, with all its modules of tasks; the working directory counts as a place of modules.

    ``store``: a URL to be used instead of the app's own, from the first use on. Raises ConfigError.
    """
    name, colon, attribute = spec.partition(":")
    name = _as_module(name)
    if not name or (colon and not attribute):
        raise ConfigError(f"app {spec!r}: expected module or module:attribute, like tasks or proj.tasks:app")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    if os.environ.get("DULY_AS_CELERY", "") not in ("", "0"):
        importlib.import_module("duly.celery.resolving").install()
    importlib.invalidate_caches()
    _set_up_django()
    module = _import(name)
    app = _attribute(module, attribute) if attribute else _app_of(module) or _app_of_submodules(module)
    if app is None:
        raise ConfigError(
            f"app {spec!r}: {_where(module)} has no Duly app; expected one there, as in app = Duly({name!r}), "
            f"or named: {name}:attribute"
        )
    if store is not None:
        app.use_store(store)
    in_django = _set_up_django()  # the module may have said which settings
    try:
        _override(app, overrides)
    except ConfigError as exc:
        raise type(exc)(f"app {app.name}: {exc}") from None
    signals.import_modules.send(app)
    for each in app.task_modules():
        _import(each)
    if in_django:
        importlib.import_module("duly.contrib.django.connections").adopt(app)
    try:
        app.check()
    except ConfigError as exc:
        raise type(exc)(f"app {app.name}, {_where(module)}: {exc}") from None
    return app


def _override(app: Duly, overrides: Overrides) -> None:
    if overrides.config is not None:
        app.config_from_object(overrides.config)
    app.config_from_cmdline(overrides.settings)
    if overrides.include:
        app.conf.include = (*app.conf.include, *overrides.include)


def _as_module(name: str) -> str:
    """``tasks.py`` and ``proj/tasks.py`` are what people type."""
    if name.endswith(".py"):
        name = name[:-3].removeprefix("./").replace("/", ".")
    return name


def _set_up_django() -> bool:
    """Where ``DJANGO_SETTINGS_MODULE`` is set, the app is a Django project's: its modules are imported, and its jobs
    run, inside of Django. False if it is not."""
    settings = os.environ.get("DJANGO_SETTINGS_MODULE")
    if not settings or importlib.util.find_spec("django") is None:
        return False
    try:
        if not importlib.import_module("django.apps").apps.ready:
            importlib.import_module("django").setup()
    except ConfigError:
        raise
    except (Exception, SystemExit) as exc:
        raise ConfigError(_theirs(f"Django cannot be set up with the settings {settings!r}", exc)) from None
    return True


def _attribute(module: ModuleType, attribute: str) -> Duly:
    found: object = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            known = [name for name, value in vars(module).items() if isinstance(value, Duly)]
            raise ConfigError(
                f"{_where(module)} has no {attribute!r}{did_you_mean(part, known or dir(found)).rstrip('?')}"
                + (f"; it has: {', '.join(known)}" if known else "")
            )
        found = getattr(found, part)
    if not isinstance(found, Duly):
        raise ConfigError(f"{module.__name__}:{attribute} is not a Duly app but {type(found).__name__}")
    return found


def _app_of(module: ModuleType) -> Duly | None:
    for name in _ATTRIBUTES:
        found = getattr(module, name, None)
        if isinstance(found, Duly):
            return found
    apps = {id(value): (name, value) for name, value in vars(module).items() if isinstance(value, Duly)}
    if len(apps) > 1:
        names = ", ".join(f"{module.__name__}:{name}" for name, _ in apps.values())
        raise ConfigError(f"{_where(module)} has more than one app; name one: {names}")
    return next((app for _, app in apps.values()), None)


def _app_of_submodules(module: ModuleType) -> Duly | None:
    if not hasattr(module, "__path__"):
        return None
    for name in _SUBMODULES:
        full = f"{module.__name__}.{name}"
        if importlib.util.find_spec(full) is not None:
            app = _app_of(_import(full))
            if app is not None:
                return app
    return None


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name is not None and (name == exc.name or name.startswith(exc.name + ".")):
            raise ConfigError(_not_found(name, exc.name)) from None
        raise ConfigError(_theirs(_BROKEN.format(name), exc)) from None
    except ConfigError as exc:
        raise type(exc)(_placed(exc)) from None
    except (Exception, SystemExit) as exc:
        raise ConfigError(_theirs(_BROKEN.format(name), exc)) from None


def _not_found(name: str, missing: str) -> str:
    parent, _, last = missing.rpartition(".")
    if parent:
        package = sys.modules.get(parent)
        paths = list(getattr(package, "__path__", []))
        if package is not None and not paths:
            return f"no module {name!r}: {_where(package)} is a module, not a package"
    else:
        paths = [os.getcwd()]
    names = [module.name for module in pkgutil.iter_modules(paths)]
    looked = " and ".join(os.path.join(path, last) + end for path in paths[:1] for end in (".py", "/__init__.py"))
    return f"no module {name!r}: there is no {looked}{did_you_mean(last, names)}"


def _theirs(what: str, exc: BaseException) -> str:
    """What went wrong, with the traceback from the first frame that is neither duly's nor the import system's."""
    at: TracebackType | None = exc.__traceback__
    while at is not None and _is_machinery(at.tb_frame.f_code.co_filename):
        at = at.tb_next
    text = "".join(traceback.format_exception(type(exc), exc, at, chain=True)).rstrip()
    return f"{what}:\n{text}"


def _placed(exc: ConfigError) -> str:
    """The error with the line of the user's code that it is about: the innermost that is nobody else's."""
    at, place = exc.__traceback__, ""
    while at is not None:
        file = at.tb_frame.f_code.co_filename
        if not _is_machinery(file):
            place = f"{os.path.relpath(file) if file.startswith(os.getcwd() + os.sep) else file}:{at.tb_lineno}: "
        at = at.tb_next
    return f"{place}{exc}"


def _is_machinery(filename: str) -> bool:
    return filename.startswith((os.path.dirname(os.path.abspath(__file__)), "<frozen importlib")) or filename == (
        importlib.__file__
    )


def _where(module: ModuleType) -> str:
    return f"module {module.__name__} ({getattr(module, '__file__', None) or 'a namespace package'})"
