"""Telling a person, by whatever apprise can reach. Nothing secret is in what is told."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import apprise

from webinars.errors import SettingsError, WebinarsError

log = logging.getLogger("webinars")


class NotifyFailed(WebinarsError):
    """Not everybody could be told."""


def check(urls: Sequence[str]) -> apprise.Apprise:
    """Raises SettingsError for an address that apprise does not know."""
    teller = apprise.Apprise()
    for number, url in enumerate(urls, 1):
        if not teller.add(url):
            raise SettingsError(
                f"notify: address number {number} is none that apprise knows ({url.split(':')[0]}:...)"
            )
    return teller


def send(urls: Sequence[str], title: str, body: str) -> None:
    """Raises NotifyFailed and SettingsError."""
    log.info("telling: %s: %s", title, body)
    teller = check(urls)
    if urls and not teller.notify(title=title, body=body):
        raise NotifyFailed(f"not everybody could be told: {title}")
