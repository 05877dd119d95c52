"""``celery.contrib.testing.tasks``."""

from __future__ import annotations

from duly.shared import shared_task


@shared_task(name="celery.ping")
def ping() -> str:
    """A sign of life."""
    return "pong"
