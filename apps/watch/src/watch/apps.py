"""The Django application."""

from __future__ import annotations

from django.apps import AppConfig


class WatchConfig(AppConfig):
    name = "watch"
    verbose_name = "Watch"

    def ready(self) -> None:
        from watch import channels, planning, tell_tasks  # noqa: F401 - the latter's tasks are registered

        planning.listen()
        channels.make_early()
