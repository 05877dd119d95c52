"""What is not kept for ever: who was told of what.

Posts stay. One that is still on its site and not here any more would be new.
"""

from __future__ import annotations

from datetime import datetime

from watch.models import Delivery

BATCH = 1_000
"""Rows a transaction: nobody waits long for the lock."""


def tidy(before: datetime) -> int:
    """Delete the deliveries that were made before that and have ended; how many they were.

    From the eldest on, until the first batch with a younger one in it: what stays is not looked through.
    """
    deleted, last = 0, 0
    while True:
        rows = list(
            Delivery.objects.filter(pk__gt=last).order_by("pk").values_list("pk", "created_at", "state")[:BATCH]
        )
        old = [pk for pk, created, state in rows if created < before and state != Delivery.State.WAITING]
        deleted += len(old)
        Delivery.objects.filter(pk__in=old).delete()
        if len(rows) < BATCH or rows[-1][1] >= before:
            return deleted
        last = rows[-1][0]
