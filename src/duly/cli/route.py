"""``route`` and ``list``: where calls go, and what queues are bound to."""

from __future__ import annotations

from typing import Any, cast

import click
import msgspec
from rich.text import Text

from duly.call import CallOptions
from duly.cli.call import json_option
from duly.cli.reach import Family
from duly.cli.root import Verb
from duly.cli.session import Session, pass_session
from duly.cli.table import Column, lay_out
from duly.cli.text import clean, plural
from duly.routing import DESTINATION, Route, Routing


@click.command(cls=Verb)
@click.argument("task")
@click.option("-a", "--args", metavar="JSON", help="Positional arguments, for routers that look at them.")
@click.option("-k", "--kwargs", metavar="JSON", help="Keyword arguments, likewise.")
@click.option("-Q", "--queue", metavar="QUEUE", help="As the call would say it.")
@click.option("--exchange", metavar="NAME", help="As the call would say it.")
@click.option("--routing-key", metavar="KEY", help="As the call would say it.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object: task, queue, priority, why.")
@pass_session
def route(
    session: Session, /, task: str, args: str | None, kwargs: str | None, as_json: bool, **said: str | None
) -> None:
    """Say where a call of TASK would go, and why. Nothing is stored."""
    app = session.app
    options = cast(CallOptions, {name: value for name, value in said.items() if value is not None})
    parts = json_option(args, "--args", list) or b"[]", json_option(kwargs, "--kwargs", dict) or b"{}"
    arguments, named = (msgspec.json.decode(part) for part in parts)
    registered = app.tasks.get(task)
    own = dict(registered.options) if registered is not None else {}
    try:
        found = app.routing.route(task, arguments, named, options, registered)
        defaults = app.routing.defaults(task, own, 0, found)
        queue = app.routing.destination(options) or defaults.queue
    except (TypeError, ValueError) as error:
        raise click.UsageError(clean(str(error))) from None
    why = _why(app.routing, options, own, found)
    if as_json:
        session.json({"task": task, "queue": queue, "priority": defaults.priority, "why": why})
        return
    priority = f", priority {defaults.priority}" if defaults.priority else ""
    session.print(f"{clean(task)} goes to queue {clean(queue)}{priority}: {clean(why)}.")
    if registered is None:
        session.note(_unregistered(task, app.tasks))


def _why(routing: Routing, call: Any, own: Any, found: Route | None) -> str:
    """The first that says where, in words."""
    sayings = [("the call", call), ("the task", own), *([(found.why, found.options)] if found is not None else [])]
    for who, options in sayings:
        if not any(options.get(name) is not None for name in DESTINATION):
            continue
        bound = routing.binding_of(options)
        if bound is None:
            return f"{who} names it" if who != "the task" else "the task names it, in the code or in task_annotations"
        key = options.get("routing_key", bound.key)
        return (
            f"{who} has routing key {key!r}, which fits {bound.key!r} at exchange {bound.exchange!r} ({bound.type})"
        )
    return "nothing says otherwise (task_default_queue)"


def _unregistered(name: str, tasks: Any) -> str:
    from duly.cli.text import did_you_mean

    return f"The app registers no task {clean(name)!r}{did_you_mean(name, tasks)}; routes by name hold all the same."


@click.group("list", cls=Family)
def list_() -> None:
    """List what an app has: bindings."""


@list_.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@pass_session
def bindings(session: Session, as_json: bool) -> None:
    """List queues and what they are bound to (task_queues)."""
    found = session.app.routing.bindings
    if as_json:
        for each in found:
            session.json(msgspec.structs.asdict(each))
        return
    columns = [Column("QUEUE"), Column("EXCHANGE"), Column("TYPE"), Column("ROUTING KEY", least=12)]
    for each in found:
        for column, cell in zip(columns, (each.queue, each.exchange, each.type, each.key), strict=True):
            column.cells.append(Text(clean(cell)))
    session.print(*lay_out(columns, session.width))
    session.note(f"{plural(len(found), 'binding')} in app {clean(session.app.name)}.")
