"""Logging of supervisor and executors: one format, to standard error or to a file.

A line says which worker and executor wrote it and, inside a task, for which job.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys

from duly.errors import ConfigError
from duly.request import current

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
FORMAT = "[%(asctime)s %(levelname)s %(label)s%(job)s] %(message)s"


def configure(level: str, logfile: str | None, label: str) -> None:
    """Set up the root logger. ``label`` names this process. Raises ConfigError."""
    if level.upper() not in _LEVELS:
        raise ConfigError(f"log level {level!r}: expected one of {', '.join(_LEVELS)}")
    try:
        # one that looks before each line whether the file was rotated away, and opens it anew
        handler = logging.handlers.WatchedFileHandler(logfile) if logfile else logging.StreamHandler(sys.stderr)
    except OSError as exc:
        raise ConfigError(f"log file {logfile!r} cannot be opened: {exc.strerror}") from None
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(_Context(label))
    handler.setLevel(level.upper())
    # What tasks log at INFO goes into their jobs' history (joblog.py), whatever is shown here.
    logging.basicConfig(level=min(handler.level, logging.INFO), handlers=[handler], force=True)


def withdraw() -> None:
    """Take back what :func:`configure` did; the program sets up logging itself."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if any(isinstance(each, _Context) for each in handler.filters):
            root.removeHandler(handler)
            handler.close()


def rename(label: str) -> None:
    """What this process is called from now on."""
    for handler in logging.getLogger().handlers:
        for context in handler.filters:
            if isinstance(context, _Context):
                context.label = label


class _Context(logging.Filter):
    """Adds to each record whose it is."""

    def __init__(self, label: str) -> None:
        super().__init__()
        self.label = label

    def filter(self, record: logging.LogRecord) -> bool:
        request = current.get(None)
        record.label = self.label
        record.job = f" {request.id}" if request is not None else ""
        return True
