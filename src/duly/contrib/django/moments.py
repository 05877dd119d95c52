"""Instants as Django has them."""

from __future__ import annotations

from datetime import UTC, datetime

from django.conf import settings
from django.utils import timezone

from duly.clock import from_micros


def moment(instant: int | None) -> datetime | None:
    """An instant as templates take it: aware, or naive in the site's zone where ``USE_TZ`` is off."""
    if instant is None:
        return None
    aware = from_micros(instant, UTC)
    return aware if settings.USE_TZ else timezone.make_naive(aware, timezone.get_default_timezone())


def aware(at: datetime) -> datetime:
    """A time of Django's as an instant: a naive one is read in the site's zone."""
    return timezone.make_aware(at, timezone.get_default_timezone()) if timezone.is_naive(at) else at
