"""Who follows jobs from their call to the end of each attempt, as the app sees it (``duly.contrib.otel``).

Signals would do, but they tell everything about a job, in Celery's shapes, which costs more than a short task does.
While nobody follows (``app.tracer`` is None) a call and an attempt pay one look.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from duly.job import Job, Kind

if TYPE_CHECKING:
    from duly.request import Request


class Mark(Protocol):
    """An attempt that is followed."""

    def end(self, kind: Kind, exc: BaseException | None) -> None:
        """It ended, in the thread or coroutine where it began; ``exc``: what its task raised, if that says more."""


class Tracer(Protocol):
    """None of its methods raises: what goes wrong with following is no matter of the job's."""

    def call(self, job: Job) -> Job:
        """A job is about to be stored; gives it with what is to travel in its headers."""

    def begin(self, request: Request) -> Mark | None:
        """An attempt begins, here. None: nobody has to be told of its end."""
