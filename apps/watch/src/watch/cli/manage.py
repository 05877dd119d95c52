"""``manage``: what is Django's."""

from __future__ import annotations

import click
from django.core.management import execute_from_command_line


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
def manage(words: tuple[str, ...]) -> None:
    """Django's own commands, and duly's: watch manage duly worker."""
    execute_from_command_line(["watch manage", *words])
