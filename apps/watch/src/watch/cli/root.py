"""``watch`` itself: its verbs by name, Django set up for them, and errors as sentences."""

from __future__ import annotations

import difflib
import importlib
import os
from typing import Any

import click
from rich.console import Console

from watch import __version__
from watch.errors import WatchError

VERBS = {
    "manage": ("manage", "Django's own commands: migrate, createsuperuser, duly worker, ..."),
}
"""Verb, module of this package, one line of help."""

console = Console(highlight=False, soft_wrap=True)  # the terminal breaks lines; addresses stay whole


def set_up() -> None:
    """Django, with the settings of the environment. Raises SettingsError."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "watch.settings")
    import django

    django.setup()


class Root(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        set_up()
        module = importlib.import_module(f"watch.cli.{VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, cmd_name.replace("-", "_"))
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
        from duly import DulyError

        try:
            return super().invoke(ctx)
        except (WatchError, DulyError) as error:
            raise click.ClickException(str(error)) from error


@click.command(cls=Root, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="watch %(version)s")
def main() -> None:
    """Crawls your sites and tells your people."""
