"""The Django application: ``INSTALLED_APPS += ["duly.contrib.django"]``."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.utils.module_loading import autodiscover_modules

from duly import shared
from duly.contrib.django.project import OWN, project_app
from duly.errors import ConfigError, StoreError


class DulyConfig(AppConfig):
    """Imports ``tasks`` of every installed app, as the admin imports ``admin``."""

    name = "duly.contrib.django"
    label = "duly"
    verbose_name = "Duly"

    def ready(self) -> None:
        project_app()
        autodiscover_modules("tasks")
        checks.register(check_app)


def check_app(**_: Any) -> list[checks.CheckMessage]:
    """``manage.py check``: the settings, and the tasks and schedules taken with them."""
    try:
        project_app().check()
    except ConfigError as exc:
        return [checks.Error(str(exc), id="duly.E001")]
    except StoreError as exc:  # where images are built there is none yet
        return [checks.Warning(f"Schedules were not looked over: {exc}", id="duly.W002")]
    others = sorted(app.name for app in shared.apps if app is not project_app())
    if others and not hasattr(settings, OWN):
        text = f"The project makes an app itself ({', '.join(others)}), and duly.contrib.django another."
        hint = f'Say which one manage.py duly and the admin mean: {OWN} = "proj.celery:app".'
        return [checks.Warning(text, hint=hint, id="duly.W001")]
    return []
