"""Google's side: access tokens for a signed request (RFC 7523), and FCM's messages:send, which checks what it is
sent."""

from __future__ import annotations

import base64
import json
import re
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pushworld.serving import Answer, Serving, answer

PROJECT = "watch-demo"
EMAIL = f"sender@{PROJECT}.iam.gserviceaccount.com"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
AUDIENCE = "https://oauth2.googleapis.com/token"  # whatever address the request goes to
_KEY = rsa.generate_private_key(65537, 2048)


def error(code: str, status: int, message: str = "", after: str | None = None, **more: Any) -> Answer:
    """FCM's own no, as the documentation shows it."""
    words = {404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 403: "PERMISSION_DENIED", 401: "UNAUTHENTICATED"}
    details: list[dict[str, Any]] = [{"@type": FCM_ERROR, "errorCode": code}]
    if more:
        details.append(more)
    said = {
        "code": status,
        "message": message or f"this is {code}",
        "status": words.get(status, code),
        "details": details,
    }
    return answer(status, {"error": said}, {} if after is None else {"Retry-After": after})


def google_error(status: int, word: str, message: str, **detail: Any) -> Answer:
    """A no of Google's front, without FCM's code."""
    return answer(
        status, {"error": {"code": status, "message": message, "status": word, "details": [detail] if detail else []}}
    )


class Google(Serving):
    """``devices``: the tokens that are registered. What a device shows is under a key; a later one replaces it."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[str] = set()
        self.everybody = False  # every token is registered
        self.script: dict[str, deque[Answer]] = defaultdict(deque)  # by device: what it answers instead, in turn
        self.closed: tuple[float, Answer] | None = None  # until when (monotonic) everybody gets this answer
        self.accepted: list[tuple[str, str, float]] = []  # device, key, time.time()
        self.shown: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)  # device, key: the message
        self.takes = 0.0  # seconds that a message takes
        self.while_closed = 0  # requests that came although we had asked for quiet
        self.on_accept: Callable[[str, str, int], None] | None = None  # device, key, the client's port
        self.tokens: dict[str, float] = {}  # access tokens, and when they end
        self.token_life = 3600.0
        self.account_ok = True

    def key_file(self, folder: Path, project: str = PROJECT) -> Path:
        path = folder / "service-account.json"
        pem = _KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        info = {
            "type": "service_account", "project_id": project, "private_key_id": "k1", "private_key": pem,
            "client_email": EMAIL, "client_id": "1", "token_uri": f"{self.url}/token",
        }  # fmt: skip
        path.write_text(json.dumps(info))
        return path

    def counts(self) -> Counter[tuple[str, str]]:
        """How often each (device, key) was accepted."""
        with self.lock:
            return Counter((device, key) for device, key, _ in self.accepted)

    # -- answering -------------------------------------------------------------------------------

    def post(self, path: str, headers: Any, body: bytes, port: int) -> Answer:
        if path == "/token":
            return self._token(body)
        if path == f"/v1/projects/{PROJECT}/messages:send":
            return self._send(headers, body, port)
        return google_error(404, "NOT_FOUND", f"no project of the name in {path}")

    def _token(self, body: bytes) -> Answer:
        asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        if asked.get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer":
            return answer(400, {"error": "unsupported_grant_type"})
        problem = self._wrong_with(asked.get("assertion", ""))
        if problem or not self.account_ok:
            return answer(
                400, {"error": "invalid_grant", "error_description": problem or "Invalid grant: account not found"}
            )
        token = f"ya29.{len(self.tokens)}"
        with self.lock:
            self.tokens[token] = time.time() + self.token_life
        return answer(200, {"access_token": token, "expires_in": int(self.token_life), "token_type": "Bearer"})

    def _wrong_with(self, assertion: str) -> str:
        """What is wrong with a signed request for a token; nothing if it is right."""
        head, claims, signature = assertion.split(".")
        try:
            _KEY.public_key().verify(raw(signature), f"{head}.{claims}".encode(), padding.PKCS1v15(), SHA256())
        except InvalidSignature:
            return "Invalid JWT Signature."
        said, now = json.loads(raw(claims)), time.time()
        if json.loads(raw(head))["alg"] != "RS256":
            return "alg is not RS256"
        if said["iss"] != EMAIL or said["aud"] != AUDIENCE or said["scope"] != SCOPE:
            return f"iss, aud or scope is wrong: {said}"
        if not said["iat"] <= now + 60 or not now < said["exp"] <= said["iat"] + 3600:
            return "iat or exp is wrong"
        return ""

    def _send(self, headers: Any, body: bytes, port: int) -> Answer:
        time.sleep(self.takes)
        token = headers["Authorization"].removeprefix("Bearer ")
        if self.tokens.get(token, 0) < time.time():
            return google_error(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.")
        if self.closed is not None and time.monotonic() < self.closed[0]:
            with self.lock:
                self.while_closed += 1
            return self.closed[1]
        message = json.loads(body)["message"]
        problem = wrong_with(message, body)
        if problem:
            violation = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [problem]}
            return google_error(400, "INVALID_ARGUMENT", problem["description"], **violation)
        device = message.get("token") or message["fid"]
        if self.script[device]:
            return self.script[device].popleft()
        if not self.everybody and device not in self.devices:
            return error("UNREGISTERED", 404, "Requested entity was not found.")
        return self._accept(device, message, port)

    def _accept(self, device: str, message: dict[str, Any], port: int) -> Answer:
        key = message["android"]["collapse_key"]
        with self.lock:
            self.accepted.append((device, key, time.time()))
            self.shown[device][key] = message
            number = len(self.accepted)
        if self.on_accept is not None:
            self.on_accept(device, key, port)
        return answer(200, {"name": f"projects/{PROJECT}/messages/{number}"})


def wrong_with(message: dict[str, Any], body: bytes) -> dict[str, str] | None:
    """A violation as FCM reports it, or None."""
    known = {"token", "fid", "notification", "data", "android", "apns", "webpush"}
    key = message["android"]["collapse_key"]
    checks = {
        "message": set(message) <= known and ("token" in message) != ("fid" in message),
        "message.data": all(isinstance(value, str) for value in message["data"].values()),
        "message.android.ttl": re.fullmatch(r"\d+s", message["android"]["ttl"]) is not None,
        "message.android.notification.tag": message["android"]["notification"]["tag"] == key,
        "message.apns.headers": message["apns"]["headers"]["apns-collapse-id"] == key and len(key.encode()) <= 64,
        "message.webpush.headers": re.fullmatch(r"[\w-]{1,32}", message["webpush"]["headers"]["Topic"]) is not None,
        "message.webpush.fcm_options.link": message["webpush"]
        .get("fcm_options", {"link": "https:"})["link"]
        .startswith("https:"),
        "message.size": len(body) <= 4096,
    }
    for field, fine in checks.items():
        if not fine:
            return {"field": field, "description": f"Invalid value at '{field}'"}
    return None


def raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
