"""The process of a worker's gateways. ``python -m duly.worker.gatekeeper PARENT``, told what to do on standard input:
a :class:`Post`, and then, whenever it is to serve other queues, their names; each JSON on a line.

It imports the app, whose tasks say what their jobs bring along, and takes in what comes at the app's broker. Started
by a supervisor (``gateways.py``), which it does not outlive. It holds nothing: killed at any moment, it has lost
nothing (``gateway/doors.py``).
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import traceback

import msgspec

from duly.errors import DulyError, StoreError
from duly.gateway.running import Gateways
from duly.loading import load_app
from duly.worker import logs, proctree
from duly.worker.link import Load

log = logging.getLogger("duly.worker")

NEVER_AGAIN = 3
"""The exit status of one that cannot work with these settings."""

PATIENCE = 5.0
"""Seconds for the loops to end."""

_AGAIN = 0.5  # seconds until the store is asked again whether a queue may be served


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """What it is told."""

    load: Load
    queues: tuple[str, ...]
    node: str  # "name@host" of the worker


def main(arguments: list[str]) -> int:
    proctree.die_with(int(arguments[0]))
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):  # only the supervisor says when to stop
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGUSR1, lambda *_: stop.set())  # take nothing more: nothing was taken yet
    post = msgspec.json.decode(sys.stdin.buffer.readline(), type=Post)
    logs.configure(post.load.loglevel, post.load.logfile, post.load.label, post.load.logformat)
    os.chdir(post.load.workdir)
    try:
        gateways = Gateways(load_app(post.load.app, post.load.store, post.load.overrides), post.queues, post.node)
    except DulyError as exc:
        log.error("no gateway: %s", exc)
        return NEVER_AGAIN
    except BaseException:  # whatever importing somebody's module raises
        log.error("no gateway: the app %s cannot be loaded:\n%s", post.load.app, traceback.format_exc().rstrip())
        return 1
    signal.signal(signal.SIGUSR1, lambda *_: gateways.take_no_more())
    gateways.start()
    threading.Thread(target=_follow, args=(gateways,), name="orders", daemon=True).start()
    stop.wait()
    gateways.close(PATIENCE)
    return 0


def _follow(gateways: Gateways) -> None:
    """Serve other queues, as the supervisor says."""
    for line in sys.stdin.buffer:
        queues = msgspec.json.decode(line, type=tuple[str, ...])
        while True:
            try:
                gateways.serve(queues)
            except StoreError as exc:
                log.debug("cannot serve other queues yet: %s", exc)
                time.sleep(_AGAIN)
                continue
            except DulyError as exc:
                log.error("the gateway takes in what it did before: %s", exc)
            break


if __name__ == "__main__":
    status = main(sys.argv[1:])
    logging.shutdown()
    os._exit(status)  # threads that do not end wait for a broker or a store, and hold nothing
