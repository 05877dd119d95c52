"""Logging of supervisor and executors: lines for people or JSON for machines, to standard error or to a file.

A line says which worker and executor wrote it and, inside a task, for which job.
"""

from __future__ import annotations

import logging
import logging.handlers
import sys
from datetime import UTC, datetime
from typing import Literal

import msgspec

from duly.errors import ConfigError
from duly.request import current

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LogFormat = Literal["text", "json"]
FORMAT = "[%(asctime)s %(levelname)s %(label)s%(job)s] %(message)s"


def configure(level: str, logfile: str | None, label: str, form: LogFormat = "text") -> None:
    """Set up the root logger. ``label`` names this process. Raises ConfigError."""
    if level.upper() not in _LEVELS:
        raise ConfigError(f"log level {level!r}: expected one of {', '.join(_LEVELS)}")
    try:
        # one that looks before each line whether the file was rotated away, and opens it anew
        handler = logging.handlers.WatchedFileHandler(logfile) if logfile else logging.StreamHandler(sys.stderr)
    except OSError as exc:
        raise ConfigError(f"log file {logfile!r} cannot be opened: {exc.strerror}") from None
    handler.setFormatter(JsonFormatter() if form == "json" else logging.Formatter(FORMAT))
    handler.addFilter(_Context(label))
    handler.setLevel(level.upper())
    # What tasks log at INFO goes into their jobs' history (joblog.py), whatever is shown here.
    logging.basicConfig(level=min(handler.level, logging.INFO), handlers=[handler], force=True)


class JsonFormatter(logging.Formatter):
    """A record as one JSON object on one line; the names are what log collectors look for."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": getattr(record, "label", None),
        }
        request = current.get(None)
        if request is not None:
            fields |= {
                "job_id": request.id, "task": request.task, "queue": request.queue, "attempt": request.attempt,
            }  # fmt: skip
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        given = {name: value for name, value in vars(record).items() if name not in _USUAL}
        try:
            return msgspec.json.encode(given | fields, enc_hook=repr).decode()
        except Exception:  # keys that are no texts, halves of surrogate pairs: whatever a program may log
            return msgspec.json.encode(
                {_text(name): _text(value) for name, value in (given | fields).items()}
            ).decode()


def _text(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"label", "job", "message", "asctime", "taskName"}
"""What every record has; anything else was given as ``extra=`` and belongs into the object."""


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
