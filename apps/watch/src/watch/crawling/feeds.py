"""Feeds: RSS and Atom by feedparser, JSON Feed by its own few fields."""

from __future__ import annotations

import hashlib
from calendar import timegm
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import feedparser
import msgspec

from watch.crawling import texts
from watch.crawling.answer import Answer
from watch.found import Found

JSON_KINDS = ("application/feed+json", "application/json")


class Feed(msgspec.Struct, frozen=True):
    """What a feed says."""

    title: str
    posts: list[Found]


def read(answer: Answer) -> Feed | None:
    """The feed that was answered; None for what is no feed."""
    if answer.kind in JSON_KINDS or answer.body.lstrip()[:1] == b"{":
        return _json(answer)
    return _xml(answer)


# -- RSS and Atom ------------------------------------------------------------------------------------


def _xml(answer: Answer) -> Feed | None:
    """feedparser is not told the address: it would make ids relative to it, and a feed that moves all new."""
    parsed = feedparser.parse(
        BytesIO(answer.body), response_headers={"content-type": answer.headers.get("content-type", "")}
    )
    if not parsed.get("version"):
        return None
    posts = [one for entry in parsed.entries if (one := _entry(answer.url, entry)) is not None]
    return Feed(texts.plain(parsed.feed.get("title", ""), texts.MAX_TITLE), posts)


def _entry(base: str, entry: Mapping[str, Any]) -> Found | None:
    stamp = entry.get("published_parsed") or entry.get("updated_parsed")
    return _found(
        base,
        id=entry.get("id", ""),
        link=entry.get("link", ""),
        title=entry.get("title", ""),
        summary=entry.get("summary", "") or next((part.get("value", "") for part in entry.get("content", ())), ""),
        published=_instant(stamp),
    )


def _instant(stamp: Any) -> datetime | None:
    """feedparser's nine numbers, in UTC."""
    try:
        return None if stamp is None else datetime.fromtimestamp(timegm(stamp), UTC)
    except (ValueError, OverflowError, OSError):
        return None


# -- JSON Feed ---------------------------------------------------------------------------------------


class _Item(msgspec.Struct):
    id: str | int | float = ""  # a text, but numbers are met
    url: str = ""
    external_url: str = ""
    title: str | None = ""
    summary: str | None = ""
    content_text: str | None = ""
    content_html: str | None = ""
    date_published: str | None = ""
    date_modified: str | None = ""


class _Document(msgspec.Struct):
    version: str
    items: list[_Item]
    title: str = ""


def _json(answer: Answer) -> Feed | None:
    try:
        document = msgspec.json.decode(answer.body, type=_Document)
    except msgspec.DecodeError:
        return None
    if "jsonfeed.org/version" not in document.version:
        return None
    posts = [one for item in document.items if (one := _item(answer.url, item)) is not None]
    return Feed(texts.plain(document.title, texts.MAX_TITLE), posts)


def _item(base: str, item: _Item) -> Found | None:
    return _found(
        base,
        id=str(item.id),
        link=item.url or item.external_url,
        title=item.title or "",
        summary=item.summary or item.content_text or item.content_html or "",
        published=texts.moment(item.date_published or item.date_modified or ""),
    )


# -- both ----------------------------------------------------------------------------------------------


def _found(base: str, *, id: str, link: str, title: str, summary: str, published: datetime | None) -> Found | None:
    """A post; None for an entry with nothing in it. The key is the feed's id, else the address, else the words."""
    words = texts.plain(summary, texts.MAX_SUMMARY)
    name = texts.plain(title, texts.MAX_TITLE) or words[:100]
    url = texts.absolute(base, link) if link else ""
    if not name and not url:
        return None
    key = id.strip() or url or hashlib.sha256(f"{name}\0{words}".encode()).hexdigest()
    return Found(
        key=texts.key(key), url=url or base, title=name or url[: texts.MAX_TITLE], summary=words, published=published
    )
