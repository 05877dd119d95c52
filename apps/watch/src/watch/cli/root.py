"""``watch`` itself: its verbs by name, Django set up for them, and errors as sentences."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import os
from collections.abc import Iterator
from typing import Any

import click
from rich.console import Console

from duly import DulyError
from watch import __version__
from watch.errors import WatchError

VERBS = {
    "add": ("sites", "Find the feed of a site, or selectors for its posts; show them; add it."),
    "list": ("sites", "The sites, and how their last crawls went."),
    "crawl": ("sites", "Crawl a site now."),
    "remove": ("sites", "Forget a site."),
    "tell": ("people", "Send a test notice to a subscriber."),
    "webpush-key": ("people", "Show the key that browsers subscribe with."),
    "run": ("run", "Run it: worker and pages, until Ctrl-C."),
    "export": ("files", "Write sites and subscribers to a file (JSON, or OPML)."),
    "import": ("files", "Take in such a file."),
    "manage": ("manage", "Django's own commands: migrate, createsuperuser, duly worker, ..."),
}
"""Verb, module of this package, one line of help."""

console = Console(highlight=False, soft_wrap=True)  # the terminal breaks lines; addresses stay whole


def set_up() -> None:
    """Django, with the settings of the environment. Raises SettingsError."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "watch.settings")
    import django

    django.setup()


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Errors that have a sentence for people are shown as that."""
    from django.db import Error

    try:
        yield
    except (WatchError, DulyError) as error:
        raise click.ClickException(str(error)) from error
    except Error as error:
        raise click.ClickException(f"the database: {str(error).strip()}") from error


def bring_up_to_date() -> None:
    """The tables: a file's are made and changed at once, a server's by who answers for it. Raises WatchError."""
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    executor = MigrationExecutor(connection)
    if not executor.migration_plan(executor.loader.graph.leaf_nodes()):
        return
    if connection.vendor != "sqlite":
        raise WatchError("the database has to be brought up to date: watch manage migrate")
    call_command("migrate", verbosity=0)


class Root(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        set_up()
        if cmd_name != "manage":
            with sentences():
                bring_up_to_date()
        module = importlib.import_module(f"watch.cli.{VERBS[cmd_name][0]}")
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(module, name, None) or getattr(module, f"{name}_")
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
        with sentences():
            return super().invoke(ctx)


@click.command(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="watch %(version)s")
def main() -> None:
    """Crawls your sites and tells your people."""
