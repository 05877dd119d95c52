"""Options of Celery's decorator and calls in duly's words: what each becomes.

Every option that Celery documents is in one of these tables, and docs/from-celery.md has a row for each (held by a
test). *Honoured*: duly has it, or another word for it. *So anyway*: duly does what the option asks for whatever is
said; where a value asks for something else, that is logged once. *Refused*: ConfigError or TypeError with the reason,
because to leave it out would change what the program does.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from duly.call import CallOptions
from duly.errors import ConfigError
from duly.hooks import NAMES as HOOKS
from duly.task_options import CHECKS

log = logging.getLogger("duly")

_KEPT = "a job stays in the store until it has ended, and runs again if its worker dies"
_PYDANTIC = "annotate arguments and results: dataclasses, TypedDicts, enums and msgspec Structs are read back as such"
_NO_BROKER = "a call goes to the app's store; there is no connection or producer to choose"
_HIDDEN = 'what is shown is what is stored; sensitive=("password",) at the task hides arguments'
_TRAIL = "a result's children are those of its canvas; what a task calls by itself is none of them"
_CANVAS = "it is set by chains, groups and chords"

TASK_SO_ANYWAY: dict[str, tuple[tuple[object, ...], str]] = {
    "acks_late": ((True, None), f"{_KEPT}; at_most_once=True is the other choice"),
    "acks_on_failure_or_timeout": ((True, None), "a job that failed has ended; duly retry runs it again"),
    "reject_on_worker_lost": ((True, None), f"{_KEPT}; at_most_once=True is the other choice"),
    "track_started": ((True, False, None), "the store always knows what runs"),
    "send_events": ((True, False, None), "the store knows everything that happens"),
    "store_errors_even_if_ignored": ((True, None), "errors are always kept"),
    "trail": ((True, False, None), _TRAIL),
    "lazy": ((True, False, None), "a task is made where it is declared"),
    "shared": ((True, False, None), "@shared_task shares a task among apps"),
    "compression": ((None,), "arguments are stored as they are"),
    "resultrepr_maxsize": ((None,), "results are shown as they are, cut to the screen"),
    "typing": ((True, None), "arguments are always checked against the signature"),
}
"""Option: the values that ask for no more than what is so, and what is so."""

TASK_REFUSED = {
    "backend": "results are kept in the store, beside their jobs",
    "Strategy": "how a worker takes jobs cannot be replaced",
    "request_stack": "the running job is in a context variable",
    "pydantic": _PYDANTIC,
    "pydantic_strict": _PYDANTIC,
    "pydantic_context": _PYDANTIC,
    "pydantic_dump_kwargs": _PYDANTIC,
    "connection": _NO_BROKER,
    "producer": _NO_BROKER,
}

CALL_SO_ANYWAY: dict[str, tuple[tuple[object, ...], str]] = {
    "retry": ((True, None), "a call waits for a busy store as long as its URL's timeout says"),
    "retry_policy": ((None,), "a call waits for a busy store as long as its URL's timeout says"),
    "compression": ((None,), "arguments are stored as they are"),
    "add_to_parent": ((True, None), _TRAIL),
    "delivery_mode": ((2, "persistent", None), "a job is on the disk when the call returns"),
}

CALL_REFUSED = {
    "connection": _NO_BROKER,
    "producer": _NO_BROKER,
    "publisher": _NO_BROKER,
    "argsrepr": _HIDDEN,
    "kwargsrepr": _HIDDEN,
    "mandatory": _NO_BROKER,
    "immediate": _NO_BROKER,
    "reply_to": "results are kept in the store",
    "root_id": _CANVAS,
    "parent_id": _CANVAS,
    "group_id": _CANVAS,
    "group_index": _CANVAS,
    "chord": _CANVAS,
}

TRANSLATED = ("retry_kwargs", "serializer")
"""Options of the decorator that become others."""

TASK_NAMES = frozenset({*CHECKS, *TASK_SO_ANYWAY, *TASK_REFUSED, *TRANSLATED})
"""Class attributes that are options."""

_said: set[str] = set()


def admit_task(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of duly that those of a Celery task are. Raises ConfigError for what is refused."""
    kept: dict[str, Any] = {}
    for key, value in options.items():
        if key in TASK_SO_ANYWAY:
            _note(f"task {name}", key, value, *TASK_SO_ANYWAY[key])
        elif key in TASK_REFUSED:
            if value is not None and value is not False:
                raise ConfigError(f"task {name}: {key}={value!r} cannot be: {TASK_REFUSED[key]}")
        elif key == "retry_kwargs":
            kept |= _retry_kwargs(name, value)
        elif key not in HOOKS and key != "serializer":
            kept[key] = value
    return kept


def admit_call(name: str, options: Mapping[str, Any]) -> CallOptions:
    """The options of duly that those of a call are. Raises TypeError for what is refused."""
    kept: dict[str, Any] = {}
    for key, value in options.items():
        if key in CALL_SO_ANYWAY:
            _note(f"call of {name}", key, value, *CALL_SO_ANYWAY[key])
        elif key in CALL_REFUSED:
            if value is not None:
                raise TypeError(f"call of {name}: {key}={value!r} cannot be: {CALL_REFUSED[key]}")
        elif key == "shadow":
            if value is not None:
                kept["headers"] = {**(kept.get("headers") or options.get("headers") or {}), "shadow": value}
        elif key != "serializer" and not (key == "headers" and "headers" in kept):
            kept[key] = value
    return kept  # type: ignore[return-value]  # duly's own check says what is wrong with the rest


def _retry_kwargs(name: str, value: Any) -> dict[str, Any]:
    """``retry_kwargs={"max_retries": 5, "countdown": 2}`` in words of their own."""
    words = {"max_retries": "max_retries", "countdown": "default_retry_delay"}
    if not isinstance(value, Mapping) or not value.keys() <= words.keys():
        raise ConfigError(f"task {name}: retry_kwargs={value!r}; expected a dict with max_retries and countdown")
    return {words[key]: each for key, each in value.items()}


def _note(where: str, key: str, value: object, fine: tuple[object, ...], reason: str) -> None:
    """Log, once for each option, that its value asks for what is not so."""
    if value not in fine and key not in _said:
        _said.add(key)
        log.warning("%s: %s=%r has no effect: %s; this is said once", where, key, value, reason)
