"""``shell``: a Python prompt with the app and its tasks."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from duly.cli.root import Verb
from duly.cli.session import Session, pass_session
from duly.cli.text import clean


@click.command(cls=Verb)
@click.option("-I", "--ipython", "kind", flag_value="IPython", help="In IPython.")
@click.option("-B", "--bpython", "kind", flag_value="bpython", help="In bpython.")
@click.option("-P", "--python", "kind", flag_value="code", help="In Python's own. [the best there is]")
@click.option("-T", "--without-tasks", is_flag=True, help="Without the tasks as names.")
@pass_session
def shell(session: Session, kind: str | None, without_tasks: bool) -> None:
    """Open a Python prompt with `app`, its tasks by their names, `AsyncResult` and `Filter`."""
    names = _names(session, without_tasks)
    module = _module(kind)
    told = ", ".join(sorted(clean(name) for name in names if not name.startswith("_")))
    session.note(f"{session.app!r} on {clean(session.app.store_url)}\n{told}")
    if module.__name__ == "IPython":
        module.start_ipython(argv=["--no-banner"], user_ns=names)
    elif module.__name__ == "bpython":
        module.embed(names)
    else:
        module.interact(banner="", local=names, exitmsg="")


def _names(session: Session, without_tasks: bool) -> dict[str, Any]:
    from duly.job import Filter

    app = session.app
    tasks = {} if without_tasks else {name.rpartition(".")[2]: task for name, task in app.tasks.items()}
    usable = {name: task for name, task in tasks.items() if name.isidentifier()}
    return {**usable, "app": app, "AsyncResult": app.AsyncResult, "Filter": Filter, "__name__": "__console__"}


def _module(kind: str | None) -> Any:
    """The module of the prompt. One that was asked for has to be there; else IPython if it is, and a terminal too."""
    if kind is not None:
        try:
            return importlib.import_module(kind)
        except ModuleNotFoundError:
            raise click.ClickException(f"{kind} is not installed: pip install {kind.lower()}") from None
    if sys.stdin.isatty():
        try:
            return importlib.import_module("IPython")
        except ModuleNotFoundError:
            pass
    return importlib.import_module("code")
