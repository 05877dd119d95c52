"""``celery.utils.log``: loggers for tasks. What a task logs is in the worker's log and in the job's history."""

from __future__ import annotations

import logging

base_logger = logging.getLogger("celery")
task_logger = logging.getLogger("celery.task")


def get_logger(name: str) -> logging.Logger:
    """The logger of that name, under ``celery`` if it has no other parent."""
    return _under(logging.getLogger(name), base_logger)


def get_task_logger(name: str) -> logging.Logger:
    """The logger of that name, under ``celery.task``. Raises RuntimeError for the names of the two themselves."""
    if name in ("celery", "celery.task"):
        raise RuntimeError(f"Logger name {name!r} is reserved!")
    return _under(logging.getLogger(name), task_logger)


def _under(logger: logging.Logger, parent: logging.Logger) -> logging.Logger:
    if logger.parent is logging.root and logger not in (base_logger, parent):
        logger.parent = parent
    return logger


__all__ = ["base_logger", "get_logger", "get_task_logger", "task_logger"]
