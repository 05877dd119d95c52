"""What can go wrong, each said in a sentence for the person who has to do something about it."""

from __future__ import annotations


class WatchError(Exception):
    """Shown without a traceback: what was wrong, and what to do."""


class SettingsError(WatchError):
    """An environment variable ``WATCH_...`` is wrong."""
