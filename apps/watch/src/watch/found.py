"""What a crawl brings: plain values, before they are compared with what is stored."""

from __future__ import annotations

import hashlib
from datetime import datetime

import msgspec


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A post as it stands on its site."""

    key: str
    """What makes it this post and no other: the feed's id for it, or its address."""
    url: str
    title: str
    summary: str = ""
    published: datetime | None = None
    """Aware, as the site says it."""

    @property
    def digest(self) -> str:
        """Of what people read. The address is left out where it is not the key: feeds put campaign marks into it."""
        return hashlib.sha256("\0".join((self.title, self.summary)).encode()).hexdigest()
