"""Browsers, through the push service that each has chosen: Web Push (RFC 8030), encrypted so that only the browser
reads it (RFC 8291), in our name (RFC 8292).

201 is accepted; 404 and 410: the subscription is over, Dead; 413: too long, Refused; 401 and 403: it was made with
another key than ours, Later; 429 and 503 close the push service of that browser for Retry-After, not those of others.
"""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit

import http_ece
import httpx2
import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from watch.pushing.http import host_of, post, refusal
from watch.pushing.notice import Address, Notice
from watch.pushing.vapid import Vapid
from watch.pushing.verdicts import Dead, Refused


class WebPush:
    """Sends in the name of one key. ``private``: endpoints need not be https, for tests and closed networks."""

    def __init__(self, vapid: Vapid, client: httpx2.Client, private: bool = False) -> None:
        self._vapid = vapid
        self._client = client
        self._schemes = ("https", "http") if private else ("https",)

    def provider(self, address: Address) -> str:
        return f"Web Push {host_of(address.value)}"

    def send(self, address: Address, notice: Notice) -> str:
        """The push service's address of the message, if it says one. Raises NotAccepted."""
        if urlsplit(address.value).scheme not in self._schemes:
            raise Refused("the endpoint of a browser's subscription begins with https:")
        headers = {
            "Authorization": self._vapid.header(address.value),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(notice.ttl),
            "Urgency": "high",
            "Topic": notice.key,
        }
        response = post(self._client, address.value, sealed(address, payload(notice)), headers)
        if response.status_code in (404, 410):
            raise Dead(f"{host_of(address.value)} answered {response.status_code}: the subscription is over")
        if not 200 <= response.status_code < 300:
            raise refusal(response, host_of(address.value))
        return str(response.headers.get("Location", ""))


def payload(notice: Notice) -> bytes:
    """What the page's service worker gets; ``tag`` makes a notice replace itself."""
    shown = {"title": notice.title, "body": notice.body, "url": notice.url, "tag": notice.key}
    return msgspec.json.encode(shown)


def sealed(address: Address, data: bytes) -> bytes:
    """Raises Dead for keys that are no browser's: nothing could ever be sent there."""
    try:
        browser, secret = _raw(address.keys["p256dh"]), _raw(address.keys["auth"])
        ours = ec.generate_private_key(ec.SECP256R1())
        return bytes(http_ece.encrypt(data, private_key=ours, dh=browser, auth_secret=secret, version="aes128gcm"))
    except (KeyError, ValueError, binascii.Error, http_ece.ECEException) as error:
        raise Dead(f"p256dh and auth are not those of a browser's subscription: {error!r}") from None


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))
