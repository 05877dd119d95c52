"""A worker as Celery's tools see it: ``celery inspect`` and ``control``, ``celery events``, Flower.

One thread with one connection, beside the loop that takes messages in. It answers orders as they come, beats every
two seconds, and while events about jobs are on looks each second what jobs have done. Monitoring is no duty: what
cannot be told now is not kept.
"""

from __future__ import annotations

import fnmatch
import importlib.metadata
import logging
import os
import platform
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from duly.bindings import bindings_of
from duly.clock import Clock
from duly.control import Control
from duly.errors import DulyError, StoreError
from duly.failure import describe
from duly.gateway.bus import REPLIES, Bus, BusAway, Order
from duly.gateway.events import Watch
from duly.gateway.panel import Panel

if TYPE_CHECKING:
    from duly.app import Duly

log = logging.getLogger("duly.gateway")

_BEAT = 2.0  # seconds; a worker counts as online for twice that after its last one
_LOOK = 1.0  # seconds between two looks at what jobs have done
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 10.0  # seconds between two tries
_TOGETHER = 100  # events in one message


class Monitoring:
    """One worker on the bus; ``run`` it in a thread of its own until ``stop`` is set."""

    def __init__(self, app: Duly, node: str, bus: Bus, clock: Clock, events: bool = False) -> None:
        """``node``: "name@host" of the worker. ``events``: whether jobs are told of from the beginning (-E)."""
        self._node = node
        self._bus = bus
        self._clock = clock
        self._store = app.store
        self._events = events
        self._watch = Watch(self._store, node)
        self._ticks = 0  # Lamport's clock
        self._next_beat = self._next_look = 0.0  # monotonic
        self._pause = _FIRST_PAUSE
        version = importlib.metadata.version("duly")
        self._software = {"sw_ident": "duly", "sw_ver": version, "sw_sys": platform.system()}
        self._panel = Panel(
            app,
            node,
            Control(lambda: self._store, clock, lambda: bindings_of(app.conf)),
            watched=lambda: dict(self._watch.total),
            events=self._turn,
            beat=lambda: self._beat("worker-heartbeat"),
            clock=self._tick,
        )

    def run(self, stop: threading.Event) -> None:
        online = False
        while not stop.is_set():
            try:
                if not online:
                    self._bus.orders(0)  # so that who sees it online is heard
                    self._beat("worker-online")
                    online = True
                self.step()
                self._pause = _FIRST_PAUSE
            except DulyError as exc:
                online = online and not isinstance(exc, BusAway)
                self._failed(exc)
                stop.wait(self._pause)
                self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        if online:
            self._leave()
        self._bus.close()

    def step(self) -> None:
        """Answer what has come, and tell what is due. Raises BusAway and StoreError."""
        now = self._clock.monotonic()
        due = min(self._next_beat, self._next_look if self._events else self._next_beat)
        for order in self._bus.orders(max(0.0, min(due - now, 0.5))):
            self._obey(order)
        now = self._clock.monotonic()
        if now >= self._next_beat:
            self._beat("worker-heartbeat")
            self._panel.tend()
        if self._events and now >= self._next_look:
            self._next_look = now + _LOOK
            self._tell(self._watch.look())

    # -- orders ----------------------------------------------------------------------------------

    def _obey(self, order: Order) -> None:
        body = order.body
        self._ticks = max(self._ticks, _number(order.headers.get("clock"))) + 1
        if not self._is_meant(body):
            return
        log.debug("told by remote control to %s", body["method"])
        answer = self._panel.obey(body["method"], body.get("arguments") or {})
        to = body.get("reply_to")
        if answer is None or not isinstance(to, dict) or "routing_key" not in to:
            return
        headers = {"ticket": body.get("ticket"), "clock": self._tick()}
        self._bus.reply(str(to.get("exchange") or REPLIES), str(to["routing_key"]), {self._node: answer}, headers)

    def _is_meant(self, body: dict[str, Any]) -> bool:
        destination, pattern, matcher = body.get("destination"), body.get("pattern"), body.get("matcher")
        if destination:
            return self._node in destination
        return _matches(self._node, str(pattern), str(matcher)) if pattern and matcher else True

    def _turn(self, on: bool) -> bool:
        changed, self._events = self._events != on, on
        if changed and on:
            self._watch.resume()
        return changed

    # -- events ----------------------------------------------------------------------------------

    def _beat(self, kind: str) -> None:
        self._next_beat = self._clock.monotonic() + _BEAT
        said = {"freq": _BEAT, "active": self._watch.active, "processed": self._watch.processed,
                "loadavg": [round(one, 2) for one in os.getloadavg()], **self._software}  # fmt: skip
        self._bus.publish(kind.replace("-", "."), self._whole({"type": kind, **said}), {"hostname": self._node})

    def _tell(self, events: list[dict[str, Any]]) -> None:
        for first in range(0, len(events), _TOGETHER):
            some = [self._whole(event) for event in events[first : first + _TOGETHER]]
            self._bus.publish("task.multi", some, {"hostname": self._node})

    def _whole(self, event: dict[str, Any]) -> dict[str, Any]:
        local = time.localtime()
        common = {"hostname": self._node, "utcoffset": -(local.tm_gmtoff // 3600), "pid": os.getppid(),
                  "clock": self._tick()}  # fmt: skip
        return {"timestamp": time.time(), **common, **event}

    def _leave(self) -> None:
        try:
            self._beat("worker-offline")
        except DulyError as exc:
            log.debug("could not say that the worker leaves: %s", exc)

    def _tick(self) -> int:
        self._ticks += 1
        return self._ticks

    def _failed(self, exc: DulyError) -> None:
        """Say so once, until it is well again."""
        if self._pause == _FIRST_PAUSE:
            what = "the store" if isinstance(exc, StoreError) else "the broker"
            log.warning("Celery's monitors see nothing: %s: %s", what, describe(exc))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _matches(node: str, pattern: str, matcher: str) -> bool:
    if matcher == "pcre":
        try:
            return re.match(pattern, node) is not None
        except re.error:
            return False
    return fnmatch.fnmatch(node, pattern)
