"""Phones, and browsers that Firebase serves: FCM's HTTP v1 API, one request a notice.

What Google's errors mean here (https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode):

======================  ===================================================================================
UNREGISTERED            the app is gone from the device: Dead
INVALID_ARGUMENT        of the token: Dead; of anything else: our mistake, Refused
SENDER_ID_MISMATCH      a token of another project, or we hold the key of another project: Later, a quarter
                        of an hour at a time. Not Dead: with the wrong key file it is said of every device
THIRD_PARTY_AUTH_ERROR  the project's APNs key or Web Push key is wrong: Later as well; Android goes on
QUOTA_EXCEEDED          of the project: Closed, for Retry-After or a minute; of one device: Later, a minute
UNAVAILABLE             with Retry-After: Closed for that long; without: Later
INTERNAL                Later
no code of FCM's        401: once more with a new access token; then, and with 403 and 404 (the project or
                        its API is not there for this account): Closed for five minutes
======================  ===================================================================================
"""

from __future__ import annotations

import re
import time
from typing import Any

import httpx2
import msgspec

from watch.pushing.google_token import ServiceAccount
from watch.pushing.http import CLOSED_FOR, PARKED_FOR, post, refusal, retry_after
from watch.pushing.notice import Address, Notice
from watch.pushing.verdicts import Closed, Dead, Later, NotAccepted, Refused

URL = "https://fcm.googleapis.com"
_NOT_OURS = 300.0  # seconds
_INSTALLATION = re.compile(r"[c-f][A-Za-z0-9_-]{21}")
"""A Firebase installation id: 17 bytes in base64url whose first four bits are 0111, cut to 22 characters."""


class Fcm:
    """Sends for one Firebase project."""

    def __init__(self, account: ServiceAccount, client: httpx2.Client, url: str = URL) -> None:
        self._account = account
        self._client = client
        self._url = f"{url.rstrip('/')}/v1/projects/{account.project}/messages:send"

    def provider(self, address: Address) -> str:
        return "FCM"

    def send(self, address: Address, notice: Notice) -> str:
        """FCM's name for the message. Raises NotAccepted."""
        body = msgspec.json.encode({"message": message(address, notice)})
        token = self._account.token()
        response = self._post(body, token)
        if response.status_code == 401 and _code(_error(response)) is None:
            response = self._post(body, self._account.token(instead_of=token))
        if response.status_code == 200:
            return str(response.json()["name"])
        raise meaning(response)

    def _post(self, body: bytes, token: str) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        return post(self._client, self._url, body, headers)


def message(address: Address, notice: Notice) -> dict[str, Any]:
    """The message of a notice. Without a key of its own, Android would keep only an app's last notice for a phone
    that is off; with one, FCM keeps four."""
    kind = "fid" if _INSTALLATION.fullmatch(address.value) else "token"
    link = {"fcm_options": {"link": notice.url}} if notice.url.startswith("https:") else {}
    return {
        kind: address.value,
        "notification": {"title": notice.title, "body": notice.body},
        "data": {"url": notice.url, "post": notice.key},
        "android": {
            "collapse_key": notice.key,
            "priority": "high",
            "ttl": f"{notice.ttl}s",
            "notification": {"tag": notice.key},
        },
        "apns": {
            "headers": {
                "apns-collapse-id": notice.key,
                "apns-priority": "10",
                "apns-expiration": str(int(time.time()) + notice.ttl),
            }
        },
        "webpush": {
            "headers": {"Topic": notice.key, "TTL": str(notice.ttl), "Urgency": "high"},
            "notification": {"tag": notice.key},
            **link,
        },
    }


def meaning(response: httpx2.Response) -> NotAccepted:
    """What has to happen after an answer that is no success."""
    error = _error(response)
    code, said = _code(error), f"FCM: {error.get('message') or response.status_code}"
    asked = retry_after(response)
    match code:
        case "UNREGISTERED":
            return Dead(f"FCM: UNREGISTERED: {error.get('message', '')}")
        case "INVALID_ARGUMENT":
            return Dead(said) if "token" in said.lower() else Refused(said)
        case "SENDER_ID_MISMATCH":
            return Later(f"{said}; the key file is of another project than the app on this device", PARKED_FOR)
        case "THIRD_PARTY_AUTH_ERROR" | "APNS_AUTH_ERROR":
            return Later(
                f"{said}; look at the APNs key or the Web Push key in the project's Cloud Messaging settings",
                PARKED_FOR,
            )
        case "QUOTA_EXCEEDED" if _of_one_device(error):
            return Later(said, max(asked or 0, CLOSED_FOR))
        case "QUOTA_EXCEEDED":
            return Closed(said, CLOSED_FOR if asked is None else asked)
        case "UNAVAILABLE" if asked is not None:
            return Closed(said, asked)
        case "UNAVAILABLE" | "INTERNAL":
            return Later(said, asked)
    if response.status_code in (401, 403, 404):
        return Closed(f"{said}; may this service account send for its project, and is the FCM API on?", _NOT_OURS)
    return refusal(response, "FCM")


def _error(response: httpx2.Response) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(response.content, type=dict[str, Any]).get("error")
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}


def _details(error: dict[str, Any]) -> list[dict[str, Any]]:
    return [detail for detail in error.get("details") or [] if isinstance(detail, dict)]


def _code(error: dict[str, Any]) -> str | None:
    """FCM's own code; None if it is not FCM's word. A field of ours that is wrong is reported without it."""
    for detail in _details(error):
        if str(detail.get("@type", "")).endswith("google.firebase.fcm.v1.FcmError"):
            return str(detail.get("errorCode"))
    return None


def _of_one_device(error: dict[str, Any]) -> bool:
    """Whether the quota is that of messages to one device."""
    said = [detail.get("violations") for detail in _details(error) if "violations" in detail]
    return "device" in str(said).lower() or "device message rate" in str(error.get("message", "")).lower()
