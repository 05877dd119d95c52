"""Recurring rules: when the next occurrence is. Pure functions of time; no store, no clock, no I/O but tzdata.

::

    from duly.schedules import crontab, cron, every, rrule, solar

    crontab(minute=0, hour=9, day_of_week="mon-fri", tz="Europe/Paris")   Celery's
    cron("0 9 * * mon", tz="Europe/Paris")                                common cron's
    every(900)                                                            seconds, or a timedelta
    rrule("FREQ=MONTHLY;BYDAY=-1FR", "2026-01-01T17:00", tz="Europe/Paris")  a calendar's
    solar("sunset", lat=48.86, lon=2.35)

Each is a :class:`Rule`; docs/schedules.md says what they do when the clocks change.
"""

from duly.schedules.cron import Cron
from duly.schedules.crontab import Crontab
from duly.schedules.interval import Every
from duly.schedules.rrule import RRule
from duly.schedules.rule import Rule, Spec
from duly.schedules.solar import Solar
from duly.schedules.spec import as_rule, from_spec

crontab = Crontab
cron = Cron
every = Every
rrule = RRule
solar = Solar

__all__ = [
    "Cron",
    "Crontab",
    "Every",
    "RRule",
    "Rule",
    "Solar",
    "Spec",
    "as_rule",
    "cron",
    "crontab",
    "every",
    "from_spec",
    "rrule",
    "solar",
]
