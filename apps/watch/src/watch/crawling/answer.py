"""What a site answered."""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime

import msgspec

_CHARSET = re.compile(rb"""<meta[^>]+charset=["']?([\w-]+)""", re.IGNORECASE)


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One answer; not of status 200 in every case."""

    url: str
    """Where it came from in the end."""
    status: int
    headers: dict[str, str]
    """By lower-case names."""
    body: bytes
    moved_to: str = ""
    """Where the site says it is for good, if not where it was asked."""

    @property
    def unchanged(self) -> bool:
        return self.status == 304

    @property
    def kind(self) -> str:
        """The media type, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text: by the header, else by what the page says of itself, else UTF-8."""
        declared = re.search(r"charset=[\"']?([\w-]+)", self.headers.get("content-type", ""))
        within = _CHARSET.search(self.body[:2048])
        name = declared[1] if declared else within[1].decode("ascii") if within else "utf-8"
        try:
            return self.body.decode(name, errors="replace")
        except LookupError:
            return self.body.decode("utf-8", errors="replace")

    @property
    def retry_after(self) -> float | None:
        """Seconds of a Retry-After header, in either of its forms."""
        value = self.headers.get("retry-after", "").strip()
        if not value:
            return None
        if value.isdecimal():
            return float(value)
        try:
            return max(parsedate_to_datetime(value).timestamp() - time.time(), 0.0)
        except (ValueError, OverflowError):
            return None
