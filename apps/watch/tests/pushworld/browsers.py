"""A push service with its browsers: checks who sends (RFC 8292), opens what is sealed (RFC 8291), and keeps one
message for each topic (RFC 8030). Written against the RFCs, not with the library that seals."""

from __future__ import annotations

import base64
import json
import re
import time
from collections import Counter, defaultdict, deque
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pushworld.google import raw
from pushworld.serving import Answer, Serving


class Browser:
    """A subscription: what a page hands over, and the private half that stays."""

    def __init__(self, endpoint: str, private: ec.EllipticCurvePrivateKey | None = None, auth: bytes = b"") -> None:
        self._private = private or ec.generate_private_key(ec.SECP256R1())
        self._auth = auth or bytes(range(16))
        self._public = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.endpoint = endpoint
        self.keys = {"p256dh": text(self._public), "auth": text(self._auth)}

    def open(self, body: bytes) -> bytes:
        """RFC 8291, section 4: the header of RFC 8188 with the sender's key as its id, one record."""
        salt, size, length = body[:16], int.from_bytes(body[16:20], "big"), body[20]
        sender, sealed = body[21 : 21 + length], body[21 + length :]
        assert len(sealed) <= size, "more than one record"
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
        shared = self._private.exchange(ec.ECDH(), point)
        info = b"WebPush: info\0" + self._public + sender
        secret = HKDF(SHA256(), 32, self._auth, info).derive(shared)
        key = HKDF(SHA256(), 16, salt, b"Content-Encoding: aes128gcm\0").derive(secret)
        nonce = HKDF(SHA256(), 12, salt, b"Content-Encoding: nonce\0").derive(secret)
        opened = AESGCM(key).decrypt(nonce, sealed, None).rstrip(b"\0")
        assert opened.endswith(b"\x02"), "the last record ends with 2"
        return opened[:-1]


class PushService(Serving):
    """``owner``: the public key that its subscriptions were made with, which the sender's has to be."""

    def __init__(self) -> None:
        super().__init__()
        self.owner = ""
        self.browsers: dict[str, Browser] = {}
        self.script: dict[str, deque[Answer]] = defaultdict(deque)
        self.accepted: list[tuple[str, str]] = []  # name, topic
        self.shown: dict[str, dict[str, Any]] = defaultdict(dict)  # name, topic: what the service worker gets

    def subscribe(self, name: str) -> Browser:
        browser = self.browsers[name] = Browser(f"{self.url}/push/{name}")
        return browser

    def counts(self) -> Counter[tuple[str, str]]:
        with self.lock:
            return Counter(self.accepted)

    def post(self, path: str, headers: Any, body: bytes, port: int) -> Answer:
        name = path.rpartition("/")[2]
        if problem := self._wrong_with(headers["Authorization"]):
            return 403, {"Content-Type": "text/plain"}, problem.encode()
        if self.script[name]:
            return self.script[name].popleft()
        if name not in self.browsers:
            return 410, {}, b""
        if len(body) > 4096:
            return 413, {}, b""
        if headers["Content-Encoding"] != "aes128gcm" or not headers["TTL"].isdigit():
            return 400, {"Content-Type": "text/plain"}, b"Content-Encoding or TTL"
        if not re.fullmatch(r"[\w-]{1,32}", headers["Topic"]) or headers["Urgency"] != "high":
            return 400, {"Content-Type": "text/plain"}, b"Topic or Urgency"
        shown = json.loads(self.browsers[name].open(body))
        with self.lock:
            self.accepted.append((name, headers["Topic"]))
            self.shown[name][shown["tag"]] = shown
        return 201, {"Location": f"{self.url}/message/{len(self.accepted)}"}, b""

    def _wrong_with(self, authorization: str) -> str:
        token, key = re.fullmatch(r"vapid t=([\w.-]+),\s*k=([\w-]+)", authorization).groups()  # type: ignore[union-attr]
        head, claims, signature = token.split(".")
        parts = raw(signature)
        der = encode_dss_signature(int.from_bytes(parts[:32], "big"), int.from_bytes(parts[32:], "big"))
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), raw(key))
        try:
            point.verify(der, f"{head}.{claims}".encode(), ec.ECDSA(SHA256()))
        except InvalidSignature:
            return "the signature is wrong"
        said = json.loads(raw(claims))
        if json.loads(raw(head))["alg"] != "ES256" or said["aud"] != self.url:
            return "alg or aud is wrong"
        if not time.time() < said["exp"] <= time.time() + 86_400 or not said["sub"].startswith(("mailto:", "https:")):
            return "exp or sub is wrong"
        return "" if key == self.owner else "the VAPID key is not that of the subscription"


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
