"""Who we are for push services: an ES256 key of this installation (RFC 8292).

Browsers subscribe with its public half, so a new key would end every subscription: it is made once and kept.
"""

from __future__ import annotations

import base64
import os
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from py_vapid import Vapid02, VapidException

from watch.errors import SettingsError

_VALID = 12 * 3600  # seconds; at most a day is allowed
_RENEWED = 3600  # seconds before its end


class Vapid:
    """The key in ``path``, made if there is none. ``contact``: a mailto: or https: address for the push service's
    people. Raises SettingsError."""

    def __init__(self, path: Path, contact: str) -> None:
        self._key = _load(path)
        self._contact = contact
        self._lock = threading.Lock()
        self._headers: dict[str, tuple[float, str]] = {}  # by origin: until when, and the header

    @property
    def public(self) -> str:
        """What a page hands to ``pushManager.subscribe`` as applicationServerKey."""
        point = self._key.public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return base64.urlsafe_b64encode(point).rstrip(b"=").decode()

    def header(self, endpoint: str) -> str:
        """The Authorization header for an endpoint; the same for all of one push service, for hours."""
        parts = urlsplit(endpoint)
        origin, now = f"{parts.scheme}://{parts.netloc}", time.time()
        with self._lock:
            until, header = self._headers.get(origin, (0.0, ""))
            if until - _RENEWED < now:
                until = now + _VALID
                claims: dict[str, str | int] = {"aud": origin, "exp": int(until), "sub": self._contact}
                header = str(self._key.sign(claims)["Authorization"])
                self._headers[origin] = until, header
            return header


def _load(path: Path) -> Vapid02:
    try:
        return Vapid02.from_pem(_pem(path))
    except (ValueError, TypeError, VapidException) as error:
        raise SettingsError(f"{path} holds no private key in PEM for Web Push: {error}") from None


def _pem(path: Path) -> bytes:
    """The file's text; the first to ask makes it."""
    try:
        if not path.exists():
            _make(path)
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path}: no key for Web Push can be kept there: {error.strerror}") from None


def _make(path: Path) -> None:
    """Written whole under another name first, so that nobody reads half of it; who comes second takes the first
    one's."""
    made = Vapid02()
    made.generate_keys()
    pem = made.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    draft = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(pem)
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
