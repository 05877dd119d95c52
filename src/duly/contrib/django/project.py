"""The app of a Django project, from its settings.

``DULY_APP = "proj.celery:app"`` names one that the project makes itself. Without it the app is made here: each
setting of duly is a Django setting with ``DULY_`` before it, ``DULY_TASK_TIME_LIMIT = 60``. Those with ``CELERY_``
before them count too, where ``DULY_`` does not say otherwise.

What is wrong among the settings is no reason for Django not to start: it is a finding of ``manage.py check`` (which
``migrate`` and ``runserver`` run too), and is raised by the first use of the store and by workers.
"""

from __future__ import annotations

import functools
import importlib
import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from duly import shared
from duly.app import Duly
from duly.config import store_url
from duly.errors import ConfigError
from duly.store.contract import Store

PREFIX = "DULY_"
OWN = "DULY_APP"


class ProjectApp(Duly):
    """The app that is made from the settings of the project."""

    problem: ConfigError | None = None
    """What is wrong with the settings."""

    @property
    def store(self) -> Store:
        if self.problem is not None:
            raise self.problem
        return super().store

    def check(self) -> None:
        if self.problem is not None:
            raise self.problem
        super().check()


@functools.cache
def project_app() -> Duly:
    """The project's app. Raises ImproperlyConfigured for a wrong ``DULY_APP``."""
    named = getattr(settings, OWN, None)
    return _made() if named is None else _named(named)


def _named(path: Any) -> Duly:
    try:
        app = import_string(str(path).replace(":", "."))
    except ImportError as exc:
        raise ImproperlyConfigured(f"{OWN} = {path!r}: {exc}") from exc
    if not isinstance(app, Duly):
        raise ImproperlyConfigured(f"{OWN} = {path!r} is no Duly app but {type(app).__name__}")
    return app


def _made() -> Duly:
    ProjectApp._as_current = not shared.apps  # one that the project has made itself stays the one of @shared_task
    app = ProjectApp(_name())
    try:
        app.add_defaults({"timezone": settings.TIME_ZONE})
        app.config_from_object("django.conf:settings", namespace="CELERY")
        for name in dir(settings):
            if name.startswith(PREFIX) and name != OWN:
                _set(app, name)
        app.conf.store = store_url(app.conf, app.name, _beside())
    except ConfigError as exc:
        app.problem = exc
    return app


def _set(app: Duly, name: str) -> None:
    setting = name.removeprefix(PREFIX).lower()
    try:
        app.conf[setting] = getattr(settings, name)
    except ConfigError as exc:
        raise ConfigError(f"Django setting {name}: {exc}") from None
    app.conf.sources[setting] = f"Django setting {name}"


def _name() -> str:
    """That of the package in which the settings are: ``proj`` for ``proj.settings``."""
    module = getattr(settings, "SETTINGS_MODULE", None) or "django"
    return str(module).partition(".")[0]


def _beside() -> str | None:
    """The file beside which a store is made when none is named: as a project's SQLite database, in BASE_DIR."""
    base = getattr(settings, "BASE_DIR", None)
    if base is not None and (Path(base) / "manage.py").is_file():
        return str(Path(base) / "manage.py")
    module = os.environ.get("DJANGO_SETTINGS_MODULE")
    return None if module is None else importlib.import_module(module).__file__
