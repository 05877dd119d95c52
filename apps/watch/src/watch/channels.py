"""The senders of an installation, and which providers want to be left alone for now."""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx2
from django.conf import settings
from django.db import DatabaseError, connection

from duly.signals import worker_process_init
from watch.errors import SettingsError
from watch.models import Provider, Target
from watch.pushing import http
from watch.pushing.fcm import Fcm
from watch.pushing.google_token import ServiceAccount
from watch.pushing.mail import Mail
from watch.pushing.notice import Address, Notice
from watch.pushing.ntfy import Ntfy
from watch.pushing.services import Services
from watch.pushing.vapid import Vapid
from watch.pushing.verdicts import Closed
from watch.pushing.webpush import WebPush

log = logging.getLogger("watch")

_making = threading.Lock()


class Sender(Protocol):
    def provider(self, address: Address) -> str: ...

    def send(self, address: Address, notice: Notice) -> str: ...


def sender(kind: str) -> Sender:
    """The one sender of this process for a kind of target. Raises Closed while its settings are wrong: once they are
    right, what waited goes on."""
    try:
        with _making:
            return _make(kind)
    except SettingsError as error:
        raise Closed(str(error), http.PARKED_FOR) from None


@functools.cache
def _make(kind: str) -> Sender:
    found = settings.WATCH
    match kind:
        case Target.Kind.FCM:
            if not found.fcm:
                raise SettingsError("there are targets of the kind fcm, and WATCH_FCM names no key file")
            return Fcm(ServiceAccount(Path(found.fcm), _client()), _client(), found.fcm_url)
        case Target.Kind.WEBPUSH:
            return WebPush(vapid(), _client(), found.private)
        case Target.Kind.EMAIL:
            if not found.smtp:
                raise SettingsError("there are targets of the kind email, and WATCH_SMTP names no server")
            return Mail(found.smtp, found.mail_from)
        case Target.Kind.NTFY:
            return Ntfy(_client())
        case Target.Kind.APPRISE:
            return Services()
    raise AssertionError(f"no sender for targets of the kind {kind!r}")


@functools.cache
def _client() -> httpx2.Client:
    return http.client()


def make_early() -> None:
    """Make the senders that are in use as soon as a process runs jobs, and not in somebody's first notice: the
    certificates of an HTTP client alone take a tenth of a second."""

    def begin(**_: Any) -> None:
        threading.Thread(target=_make_used, name="senders", daemon=True).start()

    worker_process_init.connect(begin, dispatch_uid="watch.channels")


def _make_used() -> None:
    try:
        used = list(
            Target.objects.filter(state=Target.State.ALIVE).order_by().values_list("kind", flat=True).distinct()
        )
        for kind in used:
            with contextlib.suppress(Closed):  # the first notice says why
                sender(kind)
    except DatabaseError as error:  # so will the first job
        log.debug("no sender is made early: %s", error)
    finally:
        connection.close()


def vapid() -> Vapid:
    """The key that browsers subscribe with; it is made in the folder when somebody first asks. Raises
    SettingsError."""
    found = settings.WATCH
    contact = found.contact if found.contact.startswith(("mailto:", "https:")) else f"mailto:{found.contact}"
    if "@" not in contact and not contact.startswith("https:"):
        raise SettingsError("Web Push needs WATCH_CONTACT, an e-mail address for the push services' people")
    return Vapid(found.folder / "vapid.pem", contact)


# -- providers that want to be left alone ------------------------------------------------------------


LOOK = timedelta(seconds=0.5)
"""How long what was read of closed providers is believed: a query for each job would be a tenth of its cost."""

_read: tuple[datetime, dict[str, datetime]] | None = None  # when, and until when which provider is closed


def closed_until(provider: str, now: datetime) -> datetime | None:
    """Until when nothing may be sent to a provider, over all workers; None if it may. Half a second old at most."""
    global _read
    read = _read
    if read is None or not read[0] <= now < read[0] + LOOK:
        found = Provider.objects.filter(closed_until__gt=now).values_list("name", "closed_until")
        read = _read = (now, dict(found))
    until = read[1].get(provider)
    return until if until is not None and until > now else None


def close(provider: str, why: Closed, now: datetime) -> None:
    """Send nothing to it for as long as it asks."""
    global _read
    until = now + timedelta(seconds=why.after)
    Provider.objects.update_or_create(name=provider, defaults={"closed_until": until, "reason": why.reason})
    _read = None  # this process is the first to obey
