"""``webinars`` itself: its verbs by name, its settings, and errors as sentences."""

from __future__ import annotations

import difflib
import functools
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from duly import DulyError
from webinars import __version__, settings
from webinars.errors import WebinarsError
from webinars.service import Service

VERBS = {
    "setup": ("setup", "Make the settings, step by step; examine the machine and the calendars."),
    "plan": ("plan", "Show what is going to be attended, when, and why. Changes nothing."),
    "up": ("up", "Run it: worker and report page, until Ctrl-C."),
    "now": ("attend", "Attend what is at this address, from now on."),
    "attend": ("attend", "Go to a planned webinar now; or look at its door only (--dry-run)."),
    "report": ("report", "Show what became of webinars."),
    "page": ("up", "Run the report page alone."),
    "accept": ("plan", "Say that a calendar that was not believed is right."),
    "login": ("login", "Log in: a Google calendar, or a provider in a browser window."),
    "secret": ("secret", "Keep or forget a secret that the settings name."),
}
"""Verb, module of this package, one line of help."""

console = Console(highlight=False, soft_wrap=True)  # the terminal breaks lines; paths and addresses stay whole


class Session:
    """What the verbs have in common."""

    def __init__(self) -> None:
        self.path: Path = settings.path()

    @functools.cached_property
    def service(self) -> Service:
        """Raises SettingsError."""
        return Service(settings.load(self.path))


pass_session: Callable[..., Any] = click.make_pass_decorator(Session, ensure=True)


class Root(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"webinars.cli.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise click.UsageError(f"no verb {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(name, text) for name, (_, text) in VERBS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Errors that have a sentence for people are shown as that."""
        try:
            return super().invoke(ctx)
        except (WebinarsError, DulyError) as error:
            raise click.ClickException(str(error)) from error


@click.command(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--settings", "path", metavar="FILE", type=click.Path(path_type=Path), help="The settings file.")
@click.version_option(__version__, message="webinars %(version)s")
@pass_session
def main(session: Session, path: Path | None) -> None:
    """Attends the webinars of your calendar that you cannot stay up for."""
    if path is not None:
        session.path = path.absolute()
    os.environ[settings.PLACE] = str(session.path)  # for the worker that "up" starts
