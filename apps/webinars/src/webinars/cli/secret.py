"""``secret``: keeping what the settings only name."""

from __future__ import annotations

import sys

import click
from rich.markup import escape

from webinars.cli.root import Session, console, pass_session
from webinars.errors import SecretMissing


@click.group()
def secret() -> None:
    """Secrets: passwords, credentials, secret addresses. The settings name them as "secret:NAME"."""


@secret.command("set")
@click.argument("name")
@pass_session
def set_(session: Session, name: str) -> None:
    """Keep a secret. It is asked for, or read from standard input; never an argument, which others could see."""
    asked = sys.stdin.isatty()
    value = click.prompt(f"Secret {name}", hide_input=True) if asked else sys.stdin.read().strip()
    if not value:
        raise click.UsageError("an empty secret is none")
    session.service.vault.set(name, value)
    console.print(f"Kept {escape(name)} in {escape(session.service.vault.kind)}.")


@secret.command()
@click.argument("name")
@pass_session
def forget(session: Session, name: str) -> None:
    """Forget a secret."""
    if not session.service.vault.forget(name):
        raise SecretMissing(f"there is no secret {name!r}")
    console.print(f"Forgot {escape(name)}.")
