"""Sites and subscribers as a file: JSON with everything, OPML with the feeds, as feed readers have them.

What is taken in is taken in whole, in one transaction, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import time
from typing import Any
from xml.etree import ElementTree

import msgspec
from django.core.exceptions import ValidationError
from django.db import models, transaction

from watch.errors import WatchError
from watch.models import Site, Subscriber, Subscription, Target

VERSION = 1
_SITE = ("name", "url", "kind", "spider", "interval", "jitter", "active")
_SUBSCRIBER = ("name", "zone", "quiet_from", "quiet_to", "active")
_TARGET = ("keys", "state", "reason")


class SiteData(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str
    url: str
    kind: str = "feed"
    spider: dict[str, Any] = {}
    interval: int = 900
    jitter: int = 60
    active: bool = True


class TargetData(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    kind: str
    address: str
    keys: dict[str, Any] = {}
    state: str = "alive"
    reason: str = ""


class SubscriptionData(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    site: str | None = None
    """The site's address; None: every site."""
    keywords: list[str] = []


class SubscriberData(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    name: str
    token: str = ""
    zone: str = "UTC"
    quiet_from: time | None = None
    quiet_to: time | None = None
    active: bool = True
    targets: list[TargetData] = []
    subscriptions: list[SubscriptionData] = []


class Data(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    version: int
    sites: list[SiteData] = []
    subscribers: list[SubscriberData] = []


class Taken(msgspec.Struct):
    """What came of it."""

    added: int = 0
    changed: int = 0
    subscribers: int = 0

    def __str__(self) -> str:
        return f"{self.added} sites added, {self.changed} changed; {self.subscribers} subscribers taken in"


# -- out ---------------------------------------------------------------------------------------------


def dump() -> str:
    """Everything but posts and deliveries, as JSON."""
    subscribers = Subscriber.objects.prefetch_related("targets", "subscriptions__site")
    data = Data(
        version=VERSION,
        sites=[SiteData(**_fields(site, _SITE)) for site in Site.objects.all()],
        subscribers=[_subscriber_data(one) for one in subscribers],
    )
    return msgspec.json.format(msgspec.json.encode(data)).decode() + "\n"


def _subscriber_data(one: Subscriber) -> SubscriberData:
    return SubscriberData(
        **_fields(one, (*_SUBSCRIBER, "token")),
        targets=[TargetData(**_fields(target, ("kind", "address", *_TARGET))) for target in one.targets.all()],
        subscriptions=[
            SubscriptionData(site=each.site and each.site.url, keywords=each.keywords)
            for each in one.subscriptions.all()
        ],
    )


def _fields(row: models.Model, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def opml() -> str:
    """The feeds."""
    root = ElementTree.Element("opml", version="2.0")
    ElementTree.SubElement(ElementTree.SubElement(root, "head"), "title").text = "watch"
    body = ElementTree.SubElement(root, "body")
    for site in Site.objects.filter(kind=Site.Kind.FEED):
        ElementTree.SubElement(body, "outline", type="rss", text=site.name, title=site.name, xmlUrl=site.url)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


# -- in ----------------------------------------------------------------------------------------------


def load(text: bytes, name: str) -> Taken:
    """Take in a JSON file. Raises WatchError, and nothing has changed then."""
    try:
        data = msgspec.json.decode(text, type=Data)
    except msgspec.DecodeError as error:
        raise WatchError(f"{name}: {error}") from None
    if data.version != VERSION:
        raise WatchError(f"{name} has version {data.version}; this watch reads version {VERSION}")
    return _take(data, name)


def load_opml(text: bytes, name: str) -> Taken:
    """Take in the feeds of an OPML file. Raises WatchError."""
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise WatchError(f"{name} is no OPML: {error}") from None
    feeds = [outline for outline in root.iter("outline") if outline.get("xmlUrl")]
    if not feeds:
        raise WatchError(f"{name} has no feeds: no outline with an xmlUrl")
    sites = [
        SiteData(
            name=(each.get("title") or each.get("text") or each.attrib["xmlUrl"])[:200], url=each.attrib["xmlUrl"]
        )
        for each in feeds
    ]
    return _take(Data(version=VERSION, sites=sites), name)


def _take(data: Data, name: str) -> Taken:
    taken = Taken()
    with transaction.atomic():
        for site in data.sites:
            created = _take_site(site, name)
            taken.added += created
            taken.changed += not created
        for subscriber in data.subscribers:
            _take_subscriber(subscriber, name)
            taken.subscribers += 1
    return taken


def _take_site(data: SiteData, name: str) -> bool:
    row = Site.objects.filter(url=data.url).first() or Site()
    created = row.pk is None
    anew = {"etag": "", "last_modified": ""}  # what is read otherwise is read anew
    _save(row, msgspec.structs.asdict(data) | anew, f"{name}: site {data.name!r}")
    return created


def _take_subscriber(data: SubscriberData, name: str) -> None:
    where = f"{name}: subscriber {data.name!r}"
    row = _known(data) or Subscriber()
    given = {field: getattr(data, field) for field in _SUBSCRIBER} | ({"token": data.token} if data.token else {})
    _save(row, given, where)
    for target in data.targets:
        known = Target.objects.filter(kind=target.kind, address=target.address).first()
        if known is not None and known.subscriber_id != row.pk:
            raise WatchError(f"{where}: the target {target.address!r} is another subscriber's")
        _save(known or Target(), {"subscriber": row, **msgspec.structs.asdict(target)}, where)
    row.subscriptions.all().delete()
    for wanted in data.subscriptions:
        site = Site.objects.filter(url=wanted.site).first() if wanted.site else None
        if wanted.site and site is None:
            raise WatchError(f"{where}: a subscription to {wanted.site!r}, and there is no such site")
        _save(Subscription(), {"subscriber": row, "site": site, "keywords": wanted.keywords}, where)


def _known(data: SubscriberData) -> Subscriber | None:
    """Who has this token, or else one of these targets."""
    found: Subscriber | None
    if data.token:
        found = Subscriber.objects.filter(token=data.token).first()
        return found
    for target in data.targets:
        found = Subscriber.objects.filter(targets__kind=target.kind, targets__address=target.address).first()
        if found is not None:
            return found
    return None


def _save(row: models.Model, values: dict[str, Any], where: str) -> None:
    for field, value in values.items():
        setattr(row, field, value)
    try:
        row.full_clean()
    except ValidationError as error:
        said = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())
        raise WatchError(f"{where}: {said}") from None
    row.save()
