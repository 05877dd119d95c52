"""Secrets: passwords, credentials, secret addresses. In the system's keyring, or in a file that only its owner reads.

The settings name them ("secret:NAME"); nothing else holds them: no job, no log, no report. A file that others can
read is not used until it is put right.
"""

from __future__ import annotations

import stat
from pathlib import Path

import keyring
import keyring.backends.fail
import keyring.errors
import msgspec

from webinars import files
from webinars.errors import SecretMissing, SettingsError

SERVICE = "duly-webinars"  # in the keyring
PREFIX = "secret:"


class Vault:
    """The secrets of one installation; ``file`` is used where there is no keyring (servers mostly have none)."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def kind(self) -> str:
        """Where a new secret goes, for people."""
        return "the system's keyring" if _has_keyring() else f"{self._file} (mode 600)"

    def get(self, name: str) -> str:
        """Raises SecretMissing, and SettingsError for a file that others can read."""
        found = self._read().get(name)
        if found is None and _has_keyring():
            found = keyring.get_password(SERVICE, name)
        if found is None:
            raise SecretMissing(f"there is no secret {name!r}; keep it with: webinars secret set {name}")
        return found

    def resolve(self, text: str) -> str:
        """The secret that a text names, or the text itself if it names none."""
        return self.get(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else text

    def set(self, name: str, value: str) -> None:
        if _has_keyring():
            keyring.set_password(SERVICE, name, value)
        else:
            files.save(self._file, {**self._read(), name: value})

    def forget(self, name: str) -> bool:
        """False if there was none."""
        kept = self._read()
        found = kept.pop(name, None) is not None
        if found:
            files.save(self._file, kept)
        if _has_keyring():
            try:
                keyring.delete_password(SERVICE, name)
                found = True
            except keyring.errors.PasswordDeleteError:
                pass
        return found

    def _read(self) -> dict[str, str]:
        try:
            mode = self._file.stat().st_mode
        except FileNotFoundError:
            return {}
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SettingsError(
                f"{self._file} can be read by others (mode {stat.S_IMODE(mode):o}); its secrets may be known. "
                f"Then: chmod 600 {self._file}"
            )
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=dict[str, str])
        except msgspec.DecodeError as error:
            raise SettingsError(f"{self._file} is damaged: {error}") from None


def _has_keyring() -> bool:
    try:
        return keyring.get_keyring().priority > 0
    except keyring.errors.KeyringError:
        return False
