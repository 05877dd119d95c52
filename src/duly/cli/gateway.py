"""``duly gateway``: the door to Celery's broker in a process by itself, where no worker is to have it."""

from __future__ import annotations

import signal
import threading
from typing import Any

import click

from duly.cli.background import Background, background_options, level
from duly.cli.root import Verb
from duly.cli.session import NO_APP, Session, pass_session


@click.command(cls=Verb)
@click.option("-Q", "--queues", multiple=True, metavar="QUEUES", help="Queues to take from. [default: the app's]")
@click.option("-l", "--loglevel", default="INFO", callback=level, metavar="LEVEL", help="DEBUG to ERROR. [INFO]")
@background_options
@pass_session
def gateway(session: Session, /, queues: tuple[str, ...], loglevel: str, **given: Any) -> None:
    """Take in what comes at the app's broker, until TERM or Ctrl-C: messages become jobs in the store.

    Workers do so themselves; this is for hosts that run none. The broker: the app's, or -b amqp://user:password@host//
    """
    from duly.gateway.running import Gateways
    from duly.worker import logs, systemd
    from duly.worker.gatekeeper import PATIENCE

    if session.app_spec is None:
        raise click.UsageError(NO_APP)
    names = [name.strip() for one in queues for name in one.split(",") if name.strip()]
    background = Background(session, **given)
    with background.begin():
        logs.configure(loglevel, given["logfile"], "gateway")
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        serves = names or [*(session.app.conf.worker_queues or session.app.routing.served)]
        gateways = Gateways(session.app, serves)
        gateways.start()
        session.note(f"Taking in {', '.join(serves)} from {gateways.name}. Ctrl-C to leave.")
        background.ready()
        systemd.notify("READY=1")
        stop.wait()
        gateways.close(PATIENCE)
    session.leave(0)
