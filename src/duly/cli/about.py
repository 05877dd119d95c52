"""``tasks``, ``version`` and ``report``: what an app and this installation are."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from duly import __version__
from duly.cli.root import Verb
from duly.cli.session import Session, pass_session
from duly.cli.text import clean, plural
from duly.config import censor

if TYPE_CHECKING:
    from duly.task import Task


@click.command(cls=Verb)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_session
def tasks(session: Session, as_json: bool) -> None:
    """List the tasks an app registers, with their parameters."""
    found = [session.app.tasks[name] for name in sorted(session.app.tasks)]
    if as_json:
        for task in found:
            session.json(_task_data(task))
        return
    for task in found:
        session.print(f"{clean(task.name)}{_signature(task)}")
        about = ", ".join(_habits(task))
        doc = (inspect.getdoc(task.fn) or "").partition("\n")[0]
        for line in (clean(doc), about):
            if line:
                session.print(f"    {line}")
    session.note(f"{plural(len(found), 'task')} in app {clean(session.app.name)}.")


def _signature(task: Task[..., Any]) -> str:
    """``(x: int, y: int) -> int`` as it is called: without ``self`` of a bound task."""
    try:
        signature = inspect.signature(task.fn)
    except (TypeError, ValueError):
        return "(...)"
    parameters = list(signature.parameters.values())[1 if task.bind else 0 :]
    return clean(str(signature.replace(parameters=parameters)))


def _habits(task: Task[..., Any]) -> list[str]:
    """What is not every task's way."""
    facts = [f"queue {clean(task.queue)}"]
    facts += [f"priority {task.priority}"] if task.priority else []
    facts += ["async"] if task.is_async else []
    facts += [f"soft time limit {task.soft_time_limit:g} s"] if task.soft_time_limit else []
    facts += [f"time limit {task.time_limit:g} s"] if task.time_limit else []
    facts += ["at most once"] if task.at_most_once else []
    facts += ["result not kept"] if task.ignore_result else []
    return facts


def _task_data(task: Task[..., Any]) -> dict[str, Any]:
    return {
        "name": task.name,
        "signature": _signature(task),
        "queue": task.queue,
        "priority": task.priority,
        "async": task.is_async,
        "max_retries": task.max_retries,
        "soft_time_limit": task.soft_time_limit,
        "time_limit": task.time_limit,
        "at_most_once": task.at_most_once,
        "ignore_result": task.ignore_result,
    }


@click.command(cls=Verb)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@pass_session
def version(session: Session, as_json: bool) -> None:
    """Show the versions of duly and of what it stands on."""
    versions = _versions()
    if as_json:
        session.json(versions)
    else:
        session.print(*_listed(versions))


def _versions() -> dict[str, str]:
    import platform
    import sqlite3
    from importlib.metadata import version as version_of

    return {
        "duly": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "msgspec": version_of("msgspec"),
        "platform": platform.platform(),
    }


def _listed(facts: Mapping[str, object]) -> list[str]:
    return [f"{name:<10}{clean(str(value))}" for name, value in facts.items()]


@click.command(cls=Verb)
@pass_session
def report(session: Session) -> None:
    """Show what belongs into a bug report: versions, the app, its store, its settings. Passwords are left out."""
    session.print(*_listed(_versions()))
    if session.app_spec is None:
        session.note("With -A also the app and its settings.")
        return
    app = session.app
    facts = {
        "app": f"{app.name} ({session.app_spec})",
        "tasks": len(app.tasks),
        "store": censor("store", app.store_url),
    }
    session.print("", *_listed(facts), "", *app.conf.humanize().splitlines())
