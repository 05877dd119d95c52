"""A Django project's package as Celery's documentation has it; it knows nothing of duly."""

from .celery import app as celery_app

__all__ = ("celery_app",)
