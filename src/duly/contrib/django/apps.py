"""The Django application: ``INSTALLED_APPS += ["duly.contrib.django"]``."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core import checks
from django.utils.module_loading import autodiscover_modules

from duly.contrib.django.project import project_app
from duly.errors import ConfigError


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
    return []
