"""Tasks that workers of Celery run: known here by name, called like any other.

A call is a job as always, on a queue that ``duly relay`` serves (``celery.later`` for ``celery``): stored when the
call returns, due when it says, listed, cancelled and moved until then. The relay puts it on the broker as a message
of Celery's with the job's id, and settles the job with what Celery's worker answers, so that results and canvases are
as usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

import msgspec

from duly.call import CallOptions, Defaults
from duly.errors import ConfigError
from duly.job import Job
from duly.keepsake import INBOX
from duly.making import make_task
from duly.task import Task

if TYPE_CHECKING:
    from duly.app import Duly

P = ParamSpec("P")
R = TypeVar("R")


class RemoteTask(Task[P, R]):
    """One task of a Celery project. Made by ``app.remote``."""

    def _made(self, defaults: Defaults, data: bytes, options: CallOptions, now: int) -> Job:
        """A call may name another queue of Celery's."""
        job = super()._made(defaults, data, options, now)
        return job if job.queue.endswith(INBOX) else msgspec.structs.replace(job, queue=job.queue + INBOX)


def make_remote(app: Duly, name: str, options: Mapping[str, Any]) -> Task[..., Any]:
    """The task of that name. Raises ConfigError."""
    queue = options.get("queue", "celery")
    if not isinstance(name, str) or not name:
        raise ConfigError(f'app.remote({name!r}): give the name it has in Celery: app.remote("proj.tasks.add")')
    if not isinstance(queue, str) or not queue or queue.endswith(INBOX):
        raise ConfigError(
            f"app.remote({name!r}, queue={queue!r}): name the queue of Celery's workers, without the {INBOX!r}"
        )
    if wrong := sorted(options.keys() - _OPTIONS):
        raise ConfigError(
            f"app.remote({name!r}): {', '.join(wrong)} is for who runs the task, and belongs in the Celery project; "
            f"here may stand {', '.join(sorted(_OPTIONS))}"
        )

    def elsewhere(*args: Any, **kwargs: Any) -> NoReturn:
        raise ConfigError(f"task {name} is run by Celery's workers, not here; delay() sends a call to them")

    return make_task(app, elsewhere, False, RemoteTask, {**options, "name": name, "queue": queue + INBOX})


_OPTIONS = {"queue", "priority", "ignore_result", "expires", "soft_time_limit", "time_limit", "sensitive"}
