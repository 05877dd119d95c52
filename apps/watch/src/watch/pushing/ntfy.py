"""ntfy (https://ntfy.sh or one's own server): a POST to the topic's address.

A server from 2.16 on replaces a notice by a later one with the same sequence id; an older one shows both.
"""

from __future__ import annotations

from email.header import Header
from urllib.parse import quote

import httpx2

from watch.pushing.http import host_of, post, refusal
from watch.pushing.notice import Address, Notice
from watch.pushing.verdicts import Refused

_URL_MARKS = ":/?#[]@!$&'()*+,;=%~"


class Ntfy:
    """Sends to any ntfy server."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def provider(self, address: Address) -> str:
        return f"ntfy {host_of(address.value)}"

    def send(self, address: Address, notice: Notice) -> str:
        """ntfy's id. Raises NotAccepted."""
        headers = {
            "Title": _word(notice.title),
            "Click": quote(notice.url, safe=_URL_MARKS),
            "X-Sequence-ID": notice.key,
        }
        if token := address.keys.get("token"):
            headers["Authorization"] = f"Bearer {token}"
        response = post(self._client, address.value, (notice.body or notice.title).encode(), headers)
        if response.status_code != 200:
            raise refusal(response, host_of(address.value))
        try:
            return str(response.json()["id"])
        except (ValueError, KeyError, TypeError):
            raise Refused(f"{host_of(address.value)} answered, but not as an ntfy server does") from None


def _word(text: str) -> str:
    """For a header: as it is, or in RFC 2047's words, which ntfy reads."""
    return text if text.isascii() else Header(text, "utf-8", maxlinelen=10**6).encode()
