"""``duly relay``: far-ahead messages of a Celery fleet, kept in the store until they are due."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from duly.cli.background import Background, background_options, level
from duly.cli.root import Verb
from duly.cli.session import Session, pass_session
from duly.keepsake import INBOX

if TYPE_CHECKING:
    from duly.config import Settings


@click.command(cls=Verb)
@click.option("-Q", "--queues", multiple=True, metavar="QUEUES", help="Queues to put messages on. [default: celery]")
@click.option("--results", metavar="URL", help="Where Celery's workers put results: redis://host:6379/0 or rpc://")
@click.option("-n", "--name", default="relay", show_default=True, metavar="NAME", help="Its name among the workers.")
@click.option("-l", "--loglevel", default="INFO", callback=level, metavar="LEVEL", help="DEBUG to ERROR. [INFO]")
@background_options
@pass_session
def relay(
    session: Session, /, queues: tuple[str, ...], results: str | None, name: str, loglevel: str, **given: Any
) -> None:
    """Keep far-ahead messages of Celery in the store, and put them on their queues when due; until TERM or Ctrl-C.

    Messages are taken from QUEUE.later and put on QUEUE, unchanged; what is due within seconds goes straight on.
    Another pair of queues is said as INBOX:QUEUE. The broker: -b amqp://user:password@host//

    They are jobs until then: duly jobs, cancel, move and the dashboard work on them. Calls of tasks that an app of
    duly's declares with app.remote() go the same way; their results come from --results.
    """
    from duly.gateway.publishing import Lists
    from duly.relay.process import Relay, RelayOptions
    from duly.worker import logs, systemd

    conf = session.conf
    options = RelayOptions(
        store=_store_url(session),
        broker=_broker_url(conf),
        targets=targets_of(queues),
        results=results,
        name=name,
        lists=Lists.of(conf.broker_transport_options),
    )
    background = Background(session, **given)
    with background.begin():
        logs.configure(loglevel, given["logfile"], name)
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        process = Relay(options)
        pairs = ", ".join(f"{inbox} to {queue}" for inbox, queue in options.targets.items())
        session.note(f"Relaying {pairs}. Ctrl-C to leave.")
        background.ready()
        systemd.notify("READY=1")
        finished = process.run(stop)
    session.leave(0 if finished else 1)


def targets_of(given: Iterable[str]) -> dict[str, str]:
    """The queue for each inbox, from words like ``celery,orders:orders.now``. Raises click.UsageError."""
    words = [word.strip() for one in given for word in one.split(",") if word.strip()] or ["celery"]
    targets: dict[str, str] = {}
    for word in words:
        inbox, colon, queue = word.partition(":")
        if not colon:
            inbox, queue = word + INBOX, word
        if not inbox or not queue or inbox == queue:
            raise click.BadParameter(
                f"{word!r}: expected QUEUE, or INBOX:QUEUE with two different names", param_hint="'--queues'"
            )
        if targets.setdefault(inbox, queue) != queue:
            raise click.BadParameter(
                f"what comes from {inbox!r} can go to one queue: {targets[inbox]!r} or {queue!r}?",
                param_hint="'--queues'",
            )
    return targets


def _store_url(session: Session) -> str:
    session.may_create = True
    return session.store.url


def _broker_url(conf: Settings) -> str:
    """Raises click.UsageError if there is none."""
    if not conf.broker_url:
        raise click.UsageError(
            "no broker given. Say where the fleet's messages are: -b amqp://user:password@host// (RabbitMQ), or "
            "-b redis://host:6379/0"
        )
    return conf.broker_url
