"""``kombu.exceptions``: the ones that applications catch around a call."""

from __future__ import annotations

from duly.errors import DecodeError, DulyError, EncodeError, StoreUnavailable

KombuError = DulyError
OperationalError = StoreUnavailable
SerializationError = EncodeError

__all__ = ["DecodeError", "EncodeError", "KombuError", "OperationalError", "SerializationError"]
