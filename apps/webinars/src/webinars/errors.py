"""What can go wrong, each said in a sentence for the person who has to do something about it."""

from __future__ import annotations


class WebinarsError(Exception):
    """Shown without a traceback: what was wrong, and what to do."""


class SettingsError(WebinarsError):
    """The settings file, or something it names, is wrong."""


class SecretMissing(WebinarsError):
    """A secret that the settings name is nowhere to be found."""


class ReadFailed(WebinarsError):
    """A calendar could not be read as a whole. Nothing may be concluded from what was read of it."""
