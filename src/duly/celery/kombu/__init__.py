"""``kombu``: the two names that applications use, to say which queues there are (docs/routing.md)."""

from __future__ import annotations

from duly.routing import Exchange, Queue

__all__ = ["Exchange", "Queue"]
