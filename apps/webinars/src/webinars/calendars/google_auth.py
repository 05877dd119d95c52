"""Access tokens for Google: of a service account, or of a person who allowed it once (OAuth for installed apps).

Both are JSON, and both are secrets: a service account's key as Google gives it out; of a person the client's id and
secret with the refresh token that ``webinars login`` obtained.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import google.auth.exceptions
import google.auth.transport
import google.oauth2.credentials
import google.oauth2.service_account
import httpx2
import msgspec

from webinars.errors import ReadFailed, SettingsError, WebinarsError

SCOPES = ["https://www.googleapis.com/auth/calendar.events.readonly"]
"""The narrowest that lists events."""

AUTH_URI = "https://accounts.google.com/o/oauth2/v2/auth"
TOKEN_URI = "https://oauth2.googleapis.com/token"


class CredentialTokens:
    """Tokens out of a secret in JSON. Raises SettingsError for JSON that is neither kind."""

    def __init__(self, name: str, secret: str) -> None:
        self._name = name
        self._credentials = _credentials(name, secret)

    def token(self, fresh: bool = False) -> str:
        if fresh or not self._credentials.valid:
            self._refresh()
        return str(self._credentials.token)

    def _refresh(self) -> None:
        try:
            self._credentials.refresh(_Transport())
        except google.auth.exceptions.RefreshError as error:
            raise ReadFailed(
                f"{self._name}: Google gives no access ({_reason(error)}). A log-in with an app in testing "
                f"lasts a week, and a person can take it back; run: webinars login {self._name}"
            ) from None
        except google.auth.exceptions.GoogleAuthError as error:
            raise ReadFailed(f"{self._name}: no access token from Google: {type(error).__name__}") from None


def _reason(error: Exception) -> str:
    return str(error.args[0]) if error.args else type(error).__name__


def _credentials(name: str, secret: str) -> Any:
    try:
        info = msgspec.json.decode(secret, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise SettingsError(f"{name}: the credentials are no JSON: {error}") from None
    try:
        if info.get("type") == "service_account":
            return google.oauth2.service_account.Credentials.from_service_account_info(info, scopes=SCOPES)
        if "refresh_token" in info:
            return google.oauth2.credentials.Credentials(
                token=None,
                refresh_token=info["refresh_token"],
                token_uri=info.get("token_uri", TOKEN_URI),
                client_id=info["client_id"],
                client_secret=info["client_secret"],
                scopes=SCOPES,
            )
    except (ValueError, KeyError, google.auth.exceptions.GoogleAuthError) as error:
        raise SettingsError(f"{name}: the credentials are not complete: {error}") from None
    if "installed" in info:
        raise SettingsError(f"{name}: these are an app's credentials, not yet a person's; run: webinars login {name}")
    raise SettingsError(
        f"{name}: credentials of type {info.get('type')!r}; a service account's or a login's are known"
    )


class _Response:
    """What google-auth wants to see of a response."""

    def __init__(self, response: httpx2.Response) -> None:
        self.status, self.headers, self.data = response.status_code, response.headers, response.content


class _Transport(google.auth.transport.Request):
    """google-auth's way to the network, over the client that everything else here uses."""

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
            return _Response(httpx2.request(method, url, content=body, headers=headers, timeout=timeout or 30))
        except httpx2.HTTPError as error:
            raise google.auth.exceptions.TransportError(type(error).__name__) from None


class Login:
    """A person allows an installed app to read: they open ``url`` in a browser, which then goes to ``redirect``.

    That address is this program's, or one that nothing listens on: it is enough to hand over what it said.
    """

    def __init__(self, client: str, redirect: str) -> None:
        """``client``: the JSON of an OAuth client of type desktop. Raises SettingsError."""
        try:
            self._client = msgspec.json.decode(client, type=dict[str, dict[str, Any]])["installed"]
            self._id, self._secret = self._client["client_id"], self._client["client_secret"]
        except (msgspec.DecodeError, KeyError):
            raise SettingsError(
                'this is no OAuth client of type desktop: its JSON begins with {"installed":'
            ) from None
        self._redirect = redirect
        self._verifier = secrets.token_urlsafe(64)
        self._state = secrets.token_urlsafe(16)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self._verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": self._id, "redirect_uri": redirect, "response_type": "code", "scope": " ".join(SCOPES),
            "access_type": "offline", "prompt": "consent", "state": self._state,
            "code_challenge": challenge, "code_challenge_method": "S256",
        }  # fmt: skip
        self.url = f"{self._client.get('auth_uri', AUTH_URI)}?{urlencode(query)}"

    def finish(self, went_to: str) -> str:
        """The secret to keep, from the address that the browser was sent to. Raises WebinarsError."""
        answer = parse_qs(urlsplit(went_to).query)
        if answer.get("state", [""])[0] != self._state:
            raise WebinarsError("this address is not the answer to the page that was opened; begin anew")
        if "code" not in answer:
            raise WebinarsError(f"Google did not allow it: {answer.get('error', ['no reason given'])[0]}")
        token_uri = self._client.get("token_uri", TOKEN_URI)
        data = {
            "code": answer["code"][0], "client_id": self._id, "client_secret": self._secret,
            "redirect_uri": self._redirect, "grant_type": "authorization_code", "code_verifier": self._verifier,
        }  # fmt: skip
        try:
            response = httpx2.post(token_uri, data=data, timeout=30)
        except httpx2.HTTPError as error:
            raise WebinarsError(f"no answer from Google: {type(error).__name__}") from None
        refresh = response.json().get("refresh_token") if response.status_code == 200 else None
        if not refresh:
            raise WebinarsError(f"Google gave no refresh token (it answered {response.status_code}); begin anew")
        kept = {
            "client_id": self._id, "client_secret": self._secret, "refresh_token": refresh, "token_uri": token_uri,
        }  # fmt: skip
        return msgspec.json.encode(kept).decode()
