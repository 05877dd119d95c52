"""Celery's flags that are not options here: what asks for what is so anyway is taken, with a word; what cannot be had
is refused with the reason. So a unit file or a Procfile written for Celery says at its first start what to change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from duly.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])

# names, whether a value follows, why. Taken: it is so anyway.
_TAKEN: dict[str, list[tuple[str, bool, str]]] = {
    "worker": [
        ("-E --task-events --events", False, "the store knows everything that happens: duly status --watch"),
        ("-B --beat", False, "every worker makes the jobs of schedules, each once"),
        ("-s --schedule --schedule-filename", True, "schedules are in the store"),
        ("-S --statedb", True, "revoked jobs are in the store"),
        ("-O --optimization", True, "nothing waits behind a slow job: a worker holds what it can start at once"),
        ("--prefetch-multiplier", True, "a worker holds no more jobs than it can start within moments"),
        ("--disable-prefetch", False, "a worker holds no more jobs than it can start within moments"),
        ("--without-gossip", False, "workers do not talk to each other"),
        ("--without-mingle", False, "workers do not talk to each other"),
        ("--without-heartbeat", False, "no message is sent for it: a worker renews its lease, one row of the store"),
        ("--heartbeat-interval", True, "a worker renews its lease, each third of --lease"),
    ],
    "beat": [
        ("-s --schedule", True, "schedules are in the store"),
        ("--max-interval", True, "what is due is found within moments, whatever the interval"),
    ],
    "status": [("-t --timeout", True, "the store answers at once")],
}
_REFUSED: dict[str, list[tuple[str, bool, str]]] = {
    "worker": [
        ("--scheduler", True, "schedules are in the store, and every worker makes their jobs; leave it out"),
        ("--executable", True, "a worker runs in the Python that starts it: call that one's duly"),
    ],
    "beat": [("-S --scheduler", True, "schedules are in the store: duly schedule; leave it out")],
    "call": [
        ("--serializer", True, "arguments are JSON, by the task's annotations; leave it out"),
        ("--compression", True, "arguments are stored as they are; leave it out"),
    ],
    "result": [("-t --task", True, "a result is found by its id alone; leave it out")],
}

VERBS = {
    "events": "what happens is shown by: duly status --watch",
    "flower": "what happens is shown by: duly status --watch",
    "graph": "a worker is a supervisor and its executors; docs/architecture.md draws them",
    "amqp": "there is no broker to administer; queues: duly status, duly list bindings, duly purge",
    "logtool": "the log is lines of text, one form for all: docs/worker.md",
}
"""Celery's verbs that are not here, and what is instead."""


def celery_flags(verb: str) -> Callable[[F], F]:
    """Add the hidden options of ``verb``."""

    def add(function: F) -> F:
        for names, takes_value, why in _TAKEN.get(verb, []):
            function = _option(names, takes_value, _taking(why))(function)
        for names, takes_value, why in _REFUSED.get(verb, []):
            function = _option(names, takes_value, _refusing(why))(function)
        return function

    return add


def _option(names: str, takes_value: bool, callback: Any) -> Callable[[F], F]:
    kind: dict[str, Any] = {"metavar": "X"} if takes_value else {"is_flag": True}
    return click.option(*names.split(), hidden=True, expose_value=False, callback=callback, **kind)


def _taking(why: str) -> Any:
    def say(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None and value is not False:
            ctx.ensure_object(Session).note(f"{param.opts[0]} is not needed: {why}.")

    return say


def _refusing(why: str) -> Any:
    def refuse(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None and value is not False:
            raise click.UsageError(f"{param.opts[0]} is Celery's and not here: {why}", ctx)

    return refuse
