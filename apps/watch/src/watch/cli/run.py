"""``run``: everything in one command, on one host."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from functools import partial
from types import FrameType

import click
from django.conf import settings
from django.contrib.auth import get_user_model
from waitress.server import create_server

from duly.contrib.django import app
from duly.parent import end_with
from watch import planning
from watch.cli.root import console
from watch.errors import SettingsError
from watch.wsgi import application


@click.command()
@click.option("-c", "--crawls", type=click.IntRange(1, 64), default=2, help="Crawls at the same time. [default: 2]")
@click.option("-n", "--notifiers", type=click.IntRange(1, 64), default=8, help="Slots that only notify. [default: 8]")
@click.option(
    "--listen", default="127.0.0.1:8028", metavar="HOST:PORT", help="Of the pages. [default: 127.0.0.1:8028]"
)
@click.option("--no-pages", is_flag=True, help="Without the pages.")
@click.option("-l", "--loglevel", default="INFO", metavar="LEVEL", help="DEBUG to ERROR. [default: INFO]")
def run(crawls: int, notifiers: int, listen: str, no_pages: bool, loglevel: str) -> None:
    """Run it until TERM or Ctrl-C: a worker that crawls and notifies at their times, and the pages."""
    listener = None if no_pages else _listener(listen)
    planning.keep_in_step(app)
    end_with_me = partial(end_with, os.getpid(), signal.SIGTERM)
    worker = subprocess.Popen(_command(crawls, notifiers, loglevel), start_new_session=True, preexec_fn=end_with_me)
    stop = _Stop(worker)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    if listener is not None:
        _serve(listener)
        console.print(f"Pages: http://{listen}/", markup=False)
        if not get_user_model().objects.filter(is_staff=True).exists():
            console.print("Nobody can log in yet: watch manage createsuperuser")
    status = worker.wait()
    raise SystemExit(0 if stop.asked else status)


class _Stop:
    """Passes on what it is told: the first time what runs is finished, the second time it is given back."""

    def __init__(self, worker: subprocess.Popen[bytes]) -> None:
        self.asked = False
        self._worker = worker

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._worker.send_signal(signal.SIGTERM)


def _command(crawls: int, notifiers: int, loglevel: str) -> list[str]:
    """A worker whose reserved slots are for notifying, so that nobody waits for the end of a crawl. Both kinds of job
    wait for others most of the time, so threads do."""
    return [
        sys.executable, "-m", "watch", "manage", "duly", "worker", "-P", "thread", "-Q", "notify=4,crawl=1",
        "--reserve", f"notify={notifiers}", "-c", str(crawls + notifiers), "-n", "watch", "-l", loglevel,
    ]  # fmt: skip


def _listener(listen: str) -> socket.socket:
    """Bound before anything runs, so that a port that is taken is said first."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdecimal() or int(port) > 65535:
        raise SettingsError(f"--listen {listen!r}: expected HOST:PORT, like 127.0.0.1:8028")
    try:
        return socket.create_server((host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        reason = str(error.strerror).partition(" (while ")[0]  # Python adds the address, which is said already
        raise SettingsError(
            f"--listen {listen}: {reason}; does it run already? Another one: --listen {host}:{int(port) + 1}"
        ) from None


def _serve(listener: socket.socket) -> None:
    """In a thread, for as long as the process lives."""
    server = create_server(application, sockets=[listener], ident=None, url_scheme=_scheme())
    threading.Thread(target=server.run, name="pages", daemon=True).start()


def _scheme() -> str:
    return "https" if settings.WATCH.url.startswith("https:") else "http"
