"""What programs import from ``celery``, on duly's engine.

::

    import duly.celery

    duly.celery.install()  # from here on `import celery` and `from kombu import Queue` resolve to this package
    from celery import Celery, shared_task

A program need not be changed at all: ``duly --as-celery -A proj worker``, ``DULY_AS_CELERY=1`` in the environment,
or ``python -m duly.celery program.py``. The modules here are named and filled as Celery's are; what has no
counterpart is refused where it is imported, with what to use instead (``resolving.py``). docs/from-celery.md is the
guide.
"""

from __future__ import annotations

from duly.celery.app import app_or_default, shared_task
from duly.celery.app.base import Celery
from duly.celery.app.task import Task
from duly.celery.canvas import (
    Signature,
    chain,
    chord,
    chunks,
    group,
    maybe_signature,
    signature,
    subtask,
    xmap,
    xstarmap,
)
from duly.celery.resolving import install
from duly.celery.utils import uuid
from duly.shared import current_app, current_task

VERSION = (5, 6, 3)
"""The Celery whose words these are."""

__version__ = "5.6.3"

__all__ = [
    "VERSION",
    "Celery",
    "Signature",
    "Task",
    "app_or_default",
    "chain",
    "chord",
    "chunks",
    "current_app",
    "current_task",
    "group",
    "install",
    "maybe_signature",
    "shared_task",
    "signature",
    "subtask",
    "uuid",
    "xmap",
    "xstarmap",
]
