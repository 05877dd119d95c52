"""``celery.contrib.testing.tasks``."""

from __future__ import annotations

from duly.celery.app.task import Task
from duly.shared import share


def _ping() -> str:
    """A sign of life."""
    return "pong"


ping = share({"name": "celery.ping"}, Task)(_ping)
