"""``celery.utils``: the two names that applications use."""

from __future__ import annotations

from duly.ids import new_id

uuid = new_id
gen_unique_id = new_id

__all__ = ["gen_unique_id", "uuid"]
