"""Tasks that look at Django's connections from inside of jobs."""

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from reminders.models import Reminder

from duly import shared_task
from duly.contrib.django import app

if "DulyBackend" in str(getattr(settings, "TASKS", "")):
    from probe import django6  # noqa: F401 - its tasks


def opened() -> bool:
    return connection.connection is not None


@app.task
def look() -> list[bool]:
    """Whether there was a connection at the beginning, and after a query."""
    before = opened()
    Reminder.objects.count()
    return [before, opened()]


@app.task
async def alook() -> list[bool]:
    before = await sync_to_async(opened)()
    await Reminder.objects.acount()
    return [before, await sync_to_async(opened)()]


@app.task
def nested() -> bool:
    """A task that is called as a function leaves the connection of its caller alone."""
    Reminder.objects.count()
    mine = connection.connection
    look()
    return connection.connection is mine


@app.task
def leave_open() -> None:
    """Fail inside a transaction that nothing ends."""
    transaction.set_autocommit(False)
    Reminder.objects.create(text="half", due=timezone.now())
    raise RuntimeError("half done")


@app.task
def count() -> int:
    return Reminder.objects.count()


@shared_task
def shared() -> list[bool]:
    """:func:`look`, of whatever app there is."""
    return look()
