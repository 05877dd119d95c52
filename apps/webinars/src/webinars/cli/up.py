"""``up`` and ``page``: running it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING

import click

from duly.parent import end_with
from webinars.cli.root import Session, console, pass_session
from webinars.service import BROWSERS, DESK, Service

if TYPE_CHECKING:
    from webinars.page.app import Page


@click.command()
@click.option("--no-page", is_flag=True, help="Without the report page.")
@click.option("-l", "--loglevel", default="INFO", metavar="LEVEL", help="DEBUG to ERROR. [default: INFO]")
@pass_session
def up(session: Session, no_page: bool, loglevel: str) -> None:
    """Run a worker, read the calendars at once and every hour, and serve the report page, until TERM or Ctrl-C.

    Then what runs is given back at once: a webinar that goes on is joined again by the next "webinars up".
    """
    service = session.service
    page = None if no_page else _page(service)
    service.read_soon()
    end_with_me = partial(end_with, os.getpid(), signal.SIGQUIT)
    worker = subprocess.Popen(_command(service, loglevel), start_new_session=True, preexec_fn=end_with_me)
    stop = _Stop(worker)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    if page is not None:
        page.serve_in_background()
        console.print(f"Reports: {page.url}")
    status = worker.wait()
    raise SystemExit(0 if stop.asked else status)


class _Stop:
    """Asks the worker to leave at once. Its jobs go back to the store, and its browsers end with it."""

    def __init__(self, worker: subprocess.Popen[bytes]) -> None:
        self.asked = False
        self._worker = worker

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        self._worker.send_signal(signal.SIGQUIT)


def _command(service: Service, loglevel: str) -> list[str]:
    """A slot for each webinar that may go on at once, and one that is the desk's: readings never wait."""
    slots = service.settings.browser.at_once + 1
    return [
        sys.executable, "-m", "duly", "-A", "webinars.worker", "worker", "-Q", f"{DESK},{BROWSERS}",
        "--reserve", f"{DESK}=1", "-c", str(slots), "-n", "webinars", "-l", loglevel,
    ]  # fmt: skip


def _page(service: Service) -> Page:
    """Its libraries are loaded only where it is shown."""
    from webinars.page.app import Page

    return Page(service)


@click.command()
@pass_session
def page(session: Session) -> None:
    """Serve the report page alone, until Ctrl-C; reports are files, so no worker is needed."""
    served = _page(session.service)
    console.print(f"Reports: {served.url}")
    served.serve()
