"""``migrate``: make the store's schema, or bring it to this release's version."""

from __future__ import annotations

import click

from duly.cli.root import Verb
from duly.cli.session import Session, pass_session
from duly.cli.text import clean


@click.command(cls=Verb)
@click.option("--json", "as_json", is_flag=True, help="One JSON object: the versions it went through.")
@pass_session
def migrate(session: Session, as_json: bool) -> None:
    """Make the store's schema, or bring an older one to what this release needs.

    Run it before the new release starts: workers and producers of the older one go on working. It is one transaction,
    and of two at once the second finds nothing to do.
    """
    store = session.store
    versions = store.migrate()
    if as_json:
        session.json({"versions": versions})
    elif versions:
        session.print(f"The schema of {clean(store.url)} has version {versions[-1]} now.")
    else:
        session.print(f"The schema of {clean(store.url)} is up to date.")
