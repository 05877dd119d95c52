"""The settings' calendars as sources that can be read."""

from __future__ import annotations

from pathlib import Path

from webinars.calendars.brighttalk import BrightTalkSource, feed_url
from webinars.calendars.google import API, GoogleSource
from webinars.calendars.google_auth import CredentialTokens
from webinars.calendars.icalfile import FileSource, UrlSource
from webinars.calendars.source import Source
from webinars.settings import Calendar, Settings
from webinars.vault import Vault


def source(calendar: Calendar, settings: Settings, vault: Vault, cache: Path) -> Source:
    """Raises SecretMissing and SettingsError."""
    mine = settings.me.all_addresses
    if calendar.kind == "google":
        tokens = CredentialTokens(calendar.name, vault.resolve(calendar.credentials or ""))
        return GoogleSource(calendar.name, calendar.calendar, tokens, calendar.api or API)
    if calendar.kind == "brighttalk":
        return BrightTalkSource(calendar.name, calendar.url or feed_url(calendar.channel or 0))
    if calendar.path is not None:
        return FileSource(calendar.name, Path(calendar.path).expanduser(), settings.zone, mine)
    return UrlSource(calendar.name, vault.resolve(calendar.url or ""), cache, settings.zone, mine)
