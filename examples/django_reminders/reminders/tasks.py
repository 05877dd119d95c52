"""The tasks of this application; duly.contrib.django finds them by the module's name."""

from datetime import datetime, timedelta

from django.utils import timezone

from duly.contrib.django import app
from reminders.models import Reminder


@app.task(queue="mail", at_most_once=True)
def send(reminder_id: int) -> bool:
    """Send a reminder, unless it was sent or is gone."""
    return Reminder.objects.filter(pk=reminder_id, sent=None).update(sent=timezone.now()) == 1


@app.task
def tick(asked: datetime, wanted: float) -> float:
    """How many seconds later than wanted this runs; for ``manage.py task_eta_test``."""
    late = (timezone.now() - asked).total_seconds() - wanted
    print(f"due {wanted:g} s after {asked:%H:%M:%S}, ran {late:.3f} s after that", flush=True)
    return late


@app.periodic(3600)
@app.task
def forget_sent() -> int:
    """Delete the reminders that were sent a week ago."""
    gone, _ = Reminder.objects.filter(sent__lt=timezone.now() - timedelta(days=7)).delete()
    return gone
