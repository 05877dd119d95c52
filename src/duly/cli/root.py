"""``duly`` itself: the verbs by name, and the options that stand before or after any verb."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from typing import Any

import click

from duly import __version__
from duly.cli.celery_flags import VERBS as CELERY_VERBS
from duly.cli.session import Session
from duly.cli.times import FORMS

VERBS: dict[str, dict[str, tuple[str, str]]] = {
    "Run": {
        "worker": ("worker", "Run a worker."),
        "multi": ("multi", "Start and stop several workers of this host."),
        "up": ("dashboard", "Run a worker and the dashboard."),
        "dashboard": ("dashboard", "Serve the dashboard."),
        "call": ("call", "Store a job."),
        "gateway": ("gateway", "Take in what comes at the app's broker."),
        "beat": ("schedule", "Make the jobs of schedules in a process of its own."),
        "shell": ("shell", "Open a Python prompt with the app and its tasks."),
        "relay": ("relay", "Keep far-ahead messages of Celery until they are due."),
        "systemd": ("systemd", "Write a systemd unit."),
    },
    "Look": {
        "jobs": ("look", "List jobs."),
        "show": ("look", "Show everything about one job."),
        "result": ("call", "Print a job's result."),
        "status": ("status", "Show workers and queues."),
        "why": ("health", "Say why a job has not run."),
        "inspect": ("inspect", "Ask workers what goes on."),
        "doctor": ("health", "Examine store, clock, workers and queues."),
        "tasks": ("about", "List the tasks an app registers."),
        "route": ("route", "Say where a call would go, and why."),
        "list": ("route", "List the bindings of queues."),
        "config": ("config", "Show the settings of an app; check a file of them."),
        "lint-celery": ("lint_celery", "Point at what is unsafe in a Celery project."),
        "version": ("about", "Show versions."),
        "report": ("about", "Show what belongs into a bug report."),
    },
    "Change": {
        "cancel": ("change", "Cancel jobs."),
        "move": ("change", "Change waiting jobs: due, queue, priority, arguments."),
        "retry": ("change", "Run finished jobs again."),
        "schedule": ("schedule", "Look at recurring work and change it."),
        "control": ("control", "Tell workers, limits and queues what to do."),
        "purge": ("clear", "Cancel all waiting jobs of queues."),
        "move-store": ("move_store", "Move everything to another store while all goes on."),
        "forget": ("clear", "Delete finished jobs."),
        "prune": ("clear", "Delete old finished jobs."),
        "upgrade": ("upgrade", "Bring a file of settings up to date."),
        "migrate": ("migrate", "Make the store's schema, or bring it up to date."),
    },
}
"""Section, verb, module of this package, one line of help. Kept here so that help imports no verb."""

TIMES = f"""\b
Times
{FORMS}
Without an offset: read in the zone of --tz, else of the app, else in UTC."""

STATUS = """\b
Exit status
  0   done                     1   not all of it (too late, unknown, failed)
  2   wrong usage or setting   69  no worker alive
  74  the store failed         75  not finished yet   130  Ctrl-C"""


class Whole(click.IntRange):
    """A whole number in a range; click's own words for it are "integer range"."""

    name = "whole number"


class Number(click.FloatRange):
    """A number in a range."""

    name = "number"


class Verb(click.Command):
    """A verb. The options of ``duly`` itself work after it too, as Celery's do."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(common_options(hidden=True))
        self.epilog = self.epilog or "Options of duly itself (-A, --store, --tz, ...) work here too: duly --help"


class Root(click.Group):
    def __init__(self) -> None:
        super().__init__(
            name="duly",
            params=common_options(hidden=False),
            help="duly keeps appointments: a task queue for Python.",
            epilog=f"{TIMES}\n\n{STATUS}",
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
            no_args_is_help=True,
            subcommand_metavar="VERB [ARGS]...",
        )

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for verbs in VERBS.values() for name in verbs]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for verbs in VERBS.values():
            if cmd_name in verbs:
                module = importlib.import_module(f"duly.cli.{verbs[cmd_name][0]}")
                found = vars(module)
                cmd_name = cmd_name.replace("-", "_")
                command: click.Command = found.get(cmd_name) or found[f"{cmd_name}_"]  # list_, for Python's own name
                return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        command = self.get_command(ctx, args[0])
        if command is None and not args[0].startswith("-"):
            if args[0] in CELERY_VERBS:
                raise click.UsageError(f"{args[0]!r} is Celery's and not here: {CELERY_VERBS[args[0]]}", ctx)
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"no verb {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section, verbs in VERBS.items():
            with formatter.section(section):
                formatter.write_dl([(f"{name:<8}", text) for name, (_, text) in verbs.items()])


def common_options(hidden: bool) -> list[click.Parameter]:
    """``-A`` and its companions. They write into the session and never reach the verb."""

    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option(names, **{"hidden": hidden, "expose_value": False, **settings})

    def keep(field: str) -> Any:
        def into_session(ctx: click.Context, param: click.Parameter, value: Any) -> None:
            if value is not None and value is not False:
                setattr(ctx.ensure_object(Session), field, value)

        return into_session

    return [
        option("-A", "--app", metavar="APP", callback=keep("app_spec"), help="The app: module or module:name."),
        option("--store", metavar="URL", callback=keep("store_url"), help="The store, e.g. sqlite:///duly.db."),
        option(
            "--as-celery",
            is_flag=True,
            callback=_as_celery,
            is_eager=True,
            help="Programs that import celery get duly.",
        ),
        option("--config", metavar="MODULE", callback=keep("config"), help="Settings for the app, as a module."),
        option("--tz", metavar="ZONE", callback=_zone, help="Time zone for reading and showing times."),
        option("--workdir", metavar="DIR", callback=_enter, is_eager=True, help="Change to this directory first."),
        option("-C", "--no-color", is_flag=True, callback=keep("no_color"), help="No colours (as NO_COLOR)."),
        option("-q", "--quiet", is_flag=True, callback=keep("quiet"), help="No hints, summaries and banners."),
        option("--version", is_flag=True, callback=_version, is_eager=True, help="Show the version and exit."),
        option("-b", "--broker", metavar="URL", callback=_setting("broker_url"), help="The broker to take in from."),
        option("--result-backend", metavar="URL", callback=_setting("result_backend"), hidden=True),
        option("--loader", metavar="NAME", callback=_refuse_loader, hidden=True),
        option("--skip-checks", is_flag=True, hidden=True),
    ]


def _setting(name: str) -> Any:
    """Celery's options that are settings: taken, and answered with what they mean here."""

    def into_session(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if value is None:
            return
        from duly.celery_settings import reason

        if name == "broker_url":
            from duly.config import broker_kind, urls_of

            for url in urls_of(value):
                broker_kind(url)
        session = ctx.ensure_object(Session)
        session.settings.append(f"{name}={value}")
        if (why := reason(name)) is not None:
            session.note(f"{param.opts[-1]} has no effect here: {why}. The store is said by --store.")

    return into_session


def _refuse_loader(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        raise click.BadParameter("there are no loaders here; settings come by --config MODULE", ctx, param)


def _enter(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is None:
        return
    try:
        os.chdir(value)
    except OSError as error:
        raise click.BadParameter(f"{value!r}: {error.strerror}", ctx, param) from None
    sys.path.insert(0, os.getcwd())


def _zone(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        session = ctx.ensure_object(Session)
        session.timezone = value
        _ = session.zone  # so that a typo is told whatever the verb


def _as_celery(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """In the environment, because the executors of a worker have to do the same."""
    if value:
        os.environ["DULY_AS_CELERY"] = "1"


def _version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    if value:
        click.echo(f"duly {__version__}")
        ctx.exit()
