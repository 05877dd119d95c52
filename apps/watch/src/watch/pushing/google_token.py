"""Access tokens for FCM out of a service account's key file, as the Firebase console gives it out.

A token holds for an hour and is shared by all threads; one of them fetches the next one while the others still have
time.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import google.auth.exceptions
import google.auth.transport
import google.oauth2.service_account
import httpx2
import msgspec

from watch.errors import SettingsError
from watch.pushing.verdicts import Closed, Later

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
_NO_ACCESS = 300.0  # seconds until Google is asked again after it said no


class ServiceAccount:
    """One key file. Raises SettingsError for a file that is none."""

    def __init__(self, path: Path, client: httpx2.Client) -> None:
        info = _read(path)
        self.project = str(info["project_id"])
        self._transport = _Transport(client)
        self._lock = threading.Lock()
        try:
            self._credentials = google.oauth2.service_account.Credentials.from_service_account_info(
                info, scopes=[SCOPE]
            )
        except (ValueError, google.auth.exceptions.GoogleAuthError) as error:
            raise SettingsError(f"{path} is not complete: {error}") from None

    def token(self, instead_of: str | None = None) -> str:
        """A token that holds; another one than ``instead_of``, which was refused. Raises Closed and Later."""
        with self._lock:
            if not self._credentials.valid or self._credentials.token == instead_of:
                self._refresh()
            return str(self._credentials.token)

    def _refresh(self) -> None:
        try:
            self._credentials.refresh(self._transport)
        except google.auth.exceptions.TransportError as error:
            raise Later(f"no access token from Google: {error}") from None
        except google.auth.exceptions.GoogleAuthError as error:
            raise Closed(
                f"Google gives no access token ({error.args[0] if error.args else type(error).__name__}): is the key "
                "of the service account still valid, and this machine's clock right?",
                _NO_ACCESS,
            ) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        info = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise SettingsError(f"{path} is no JSON: {error}") from None
    if info.get("type") != "service_account" or not info.get("project_id"):
        raise SettingsError(
            f"{path} is no key of a service account (Firebase console, Project settings, Service accounts): "
            f"its type is {info.get('type')!r}"
        )
    return info


class _Response:
    """What google-auth wants to see of a response."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status, self.headers, self.data = response.status_code, response.headers, response.content


class _Transport(google.auth.transport.Request):
    """google-auth's way to the network, over the client that everything else here uses."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> _Response:
        try:
            return _Response(self._client.request(method, url, content=body, headers=headers))
        except httpx2.HTTPError as error:
            raise google.auth.exceptions.TransportError(type(error).__name__) from None
