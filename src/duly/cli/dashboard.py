"""``dashboard``: serve the dashboard. ``up``: a worker with one, in one command."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import click

from duly.cli.root import Verb, Whole
from duly.cli.session import NO_APP, Session, pass_session
from duly.cli.worker import worker

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

PORT = 8555
_NEEDED = ("starlette", "uvicorn", "jinja2")
_LEAVE = 5  # seconds until a dashboard that was told to end is killed


def where_options(verb: F) -> F:
    """Where a dashboard listens, and whom it lets in."""
    for option in (
        click.option("--read-only", is_flag=True, help="Nobody may change anything."),
        click.option("--allow-host", multiple=True, metavar="NAME", help="A name it is asked by, behind a proxy."),
        click.option("--user-header", metavar="HEADER", help="The proxy in front says there who looks."),
        click.option("--users", metavar="FILE", help="Who may log in; lines as --add-user prints them."),
        click.option("--port", type=Whole(0, 65_535), default=PORT, show_default=True, metavar="N", help="0: any."),
        click.option("--host", default="127.0.0.1", show_default=True, metavar="HOST", help="Where it listens."),
    ):
        verb = option(verb)
    return verb


@click.command(cls=Verb)
@where_options
@click.option("--add-user", metavar="NAME", help="Ask for a password and print NAME's line for the users file.")
@click.option("--may", type=click.Choice(["change", "read"]), default="change", help="With --add-user. [change]")
@click.option("--until-eof", is_flag=True, hidden=True)
@pass_session
def dashboard(session: Session, /, add_user: str | None, may: str, until_eof: bool, **where: Any) -> None:
    """Serve the dashboard, on this machine only unless told otherwise; until TERM or Ctrl-C.

    With -A it knows the app's tasks and checks edited arguments. The variables DULY_DASHBOARD_TOKEN and
    DULY_DASHBOARD_READ_TOKEN hold tokens for those who log in without a user, and for programs.
    """
    _need_web()
    from duly.web import server
    from duly.worker import logs

    if add_user is not None:
        _print_user(session, add_user, may)
        return
    access = server.access_of(where["users"], where["user_header"], where["read_only"])
    spot = server.Where(where["host"], where["port"], access, where["allow_host"])
    server.check(spot)
    session.may_create = session.app_spec is not None
    store = session.store
    store.next_schedule()  # so that a store that cannot be used is told now and not on the first page
    logs.configure("INFO", None, "dashboard")
    app = session.app if session.app_spec is not None else None
    if until_eof:
        threading.Thread(target=_leave_at_eof, name="until-eof", daemon=True).start()
    server.serve(store, app, session.zone, spot, lambda url: _greet(session, url, access.is_open))


def _leave_at_eof() -> None:
    """The process that started this one is gone when its end of the pipe is."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _greet(session: Session, url: str, is_open: bool) -> None:
    session.print(f"Dashboard: {url}")
    if is_open:
        session.note("On this machine only, and nobody is asked who they are. Ctrl-C to leave.")


def _print_user(session: Session, name: str, may: str) -> None:
    from duly.web.access import hash_password

    if ":" in name or not name.strip():
        raise click.BadParameter(f"{name!r}: a name is not empty and has no colon", param_hint="'--add-user'")
    password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    if len(password) < 8:
        raise click.UsageError(f"a password of {len(password)} characters is guessed; give at least 8")
    session.print(f"{name}:{may}:{hash_password(password)}")


def _need_web() -> None:
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise click.ClickException(
            f"the dashboard needs {', '.join(missing)}, which is not installed: pip install 'duly[web]'"
        )


@click.command(cls=Verb)
@where_options
@pass_session
@click.pass_context
def up(ctx: click.Context, session: Session, /, **given: Any) -> None:
    """Run a worker, its schedules and the dashboard, in one command on one machine.

    The options are those of worker and dashboard. TERM or Ctrl-C ends all; a second one at once.
    """
    _need_web()
    if session.app_spec is None:
        raise click.UsageError(NO_APP)
    if given["detach"]:
        raise click.UsageError("up stays in the foreground; for the background: duly worker -D, and duly dashboard")
    from duly.web import server

    where = {name: given.pop(name) for name in ("host", "port", "users", "user_header", "allow_host", "read_only")}
    access = server.access_of(where["users"], where["user_header"], where["read_only"])
    server.check(server.Where(where["host"], where["port"], access, where["allow_host"]))
    child = subprocess.Popen(_dashboard_command(session, where), stdin=subprocess.PIPE)
    try:
        ctx.invoke(worker, **given)
    finally:
        _end(child)


up.params[:0] = [param for param in worker.params if param.expose_value]


def _dashboard_command(session: Session, where: dict[str, Any]) -> list[str]:
    """The dashboard as a process of its own: it runs user code only to know the tasks, and must not slow the worker.

    It ends with this one even if this one is killed: its standard input is then at its end.
    """
    words = [sys.executable, "-m", "duly", "-A", session.app_spec or "", "--workdir", os.getcwd()]
    for flag, value in (("--store", session.store_url), ("--tz", session.timezone)):
        words += [flag, value] if value else []
    words += ["dashboard", "--host", where["host"], "--port", str(where["port"])]
    for flag, name in (("--users", "users"), ("--user-header", "user_header")):
        words += [flag, where[name]] if where[name] else []
    for name in where["allow_host"]:
        words += ["--allow-host", name]
    return [*words, *(["--read-only"] if where["read_only"] else []), "--until-eof"]


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(_LEAVE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
