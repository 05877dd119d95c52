"""Verbs about who is told: try a subscriber's targets, show the key that browsers subscribe with."""

from __future__ import annotations

import click

from watch import channels
from watch.cli.near import did_you_mean
from watch.cli.root import console
from watch.errors import WatchError
from watch.models import Subscriber, Target
from watch.pushing.notice import Address, notice
from watch.pushing.verdicts import NotAccepted


@click.command()
@click.argument("subscriber")
def tell(subscriber: str) -> None:
    """Send a test notice to each target of SUBSCRIBER, now and from here, and show what each provider says.

    Exit status 1 if one of them does not accept it. Nothing is changed: no target dies of it.
    """
    targets = list(_subscriber(subscriber).targets.order_by("id"))
    if not targets:
        raise WatchError(f"{subscriber} has no targets; they are entered in the admin, or imported")
    accepted = [_try(target) for target in targets]
    if not all(accepted):
        raise SystemExit(1)


def _subscriber(name: str) -> Subscriber:
    found: list[Subscriber] = list(Subscriber.objects.filter(name=name)[:2])
    if len(found) == 1:
        return found[0]
    if found:
        raise WatchError(f"there are several subscribers called {name!r}; rename one in the admin")
    names = Subscriber.objects.values_list("name", flat=True)
    raise WatchError(f"no subscriber is called {name!r}{did_you_mean(name, names)}")


def _try(target: Target) -> bool:
    test = notice(
        key="test", title="watch: a test", body="If you see this, you are reached here.", url="https://example.org/"
    )
    try:
        id = channels.sender(target.kind).send(Address(target.address, target.keys), test)
    except NotAccepted as error:
        console.print(f"{target}: not accepted ({type(error).__name__}): {error.reason}", markup=False)
        return False
    console.print(f"{target}: accepted {id}".rstrip(), markup=False)
    return True


@click.command()
def webpush_key() -> None:
    """Show the public key that a page hands to pushManager.subscribe as applicationServerKey."""
    print(channels.vapid().public)
