"""``celery.contrib.testing.worker``: a worker in the test's process (:mod:`duly.testing.embedded`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from duly.app import Duly
from duly.job import WorkerInfo
from duly.testing.embedded import embedded_worker


class TestWorkController:
    """What ``start_worker`` gives."""

    __test__ = False

    def __init__(self, app: Duly, info: WorkerInfo) -> None:
        self.app = app
        self.hostname = f"{info.name}@{info.host}"

    def reload(self, modules: Any = None, reload: bool = False) -> None:
        """Nothing to do: a task is found when its first job comes."""


@contextmanager
def start_worker(
    app: Duly,
    concurrency: int = 1,
    pool: str = "solo",
    loglevel: Any = None,
    logfile: str | None = None,
    perform_ping_check: bool = True,
    ping_task_timeout: float = 10.0,
    shutdown_timeout: float = 10.0,
    queues: Any = None,
    **kwargs: Any,
) -> Iterator[TestWorkController]:
    """Run the jobs of ``app`` in threads of this process.

    ``shutdown_timeout``: seconds for what runs at the end; then TimeoutError. ``pool``, ``loglevel``, ``logfile`` and
    the ping change nothing: there are threads, logging is the test's, and the worker is there when this returns.
    """
    names = queues.split(",") if isinstance(queues, str) else queues
    with embedded_worker(app, queues=names, concurrency=concurrency, patience=shutdown_timeout) as info:
        yield TestWorkController(app, info)
