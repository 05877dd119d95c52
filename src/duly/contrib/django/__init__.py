"""duly in a Django project: ``INSTALLED_APPS += ["duly.contrib.django"]`` (docs/django.md).

    1. ``apps.py``: Django starts; the ``tasks`` modules of the installed apps are imported.
    2. ``project.py``: the app, made from the settings ``DULY_*`` when somebody first asks for it.
    3. ``worker.py``: what a worker is pointed at; ``manage.py duly`` does that.
    4. ``connections.py``: each job begins and ends with fresh database connections.

::

    from duly.contrib.django import app

    @app.task
    def send_welcome(user_id: int) -> None: ...

    send_welcome.delay_on_commit(user.pk)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from duly.app import Duly

    app: Duly
    """The project's app."""

__all__ = ["app"]


def __getattr__(name: str) -> Any:
    """``app`` is made when first asked for: Django imports this package before its settings are read."""
    if name == "app":
        from duly.contrib.django.project import project_app

        return project_app()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
