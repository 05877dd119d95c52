"""What sites write, as plain text and instants of a bounded size."""

from __future__ import annotations

import hashlib
import html
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urldefrag, urljoin, urlsplit

from dateutil import parser  # type: ignore[import-untyped]
from selectolax.lexbor import LexborHTMLParser

MAX_TITLE = 500
MAX_SUMMARY = 2000
MAX_URL = 2000
MAX_KEY = 500


def plain(text: str, limit: int) -> str:
    """Without markup, entities and runs of spaces; cut with an ellipsis."""
    if "<" in text:
        body = LexborHTMLParser(text).body
        text = "" if body is None else body.text(separator=" ")
    words = " ".join(html.unescape(text).replace("\0", "").split())
    return words if len(words) <= limit else words[: limit - 1].rstrip() + "…"


def absolute(base: str, link: str) -> str:
    """The address that a link leads to, without its fragment; empty for what is no page, or too long."""
    try:
        url = urldefrag(urljoin(base, link.replace("\0", "").strip()))[0]
        fits = urlsplit(url).scheme in ("http", "https") and bool(urlsplit(url).hostname)
    except ValueError:
        return ""
    return url if fits and len(url) <= MAX_URL else ""


def key(text: str) -> str:
    """As it is stored: a digest where it is too long."""
    text = text.replace("\0", "")
    return text if len(text) <= MAX_KEY else "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def moment(text: str) -> datetime | None:
    """An aware instant of any usual form, in UTC if it names no zone; None for what cannot be read."""
    text = " ".join(text.split())
    if not any(sign.isdigit() for sign in text):
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime, parser.parse):
        try:
            found = read(text)
        except (ValueError, OverflowError, TypeError, AttributeError):
            continue
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found
    return None
