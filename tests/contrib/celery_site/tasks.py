from celery import shared_task
from django.db import connection
from reminders.models import Reminder


@shared_task(bind=True, max_retries=2)
def count(self) -> list[object]:
    """Whether there was a connection at the beginning, and how many reminders there are."""
    before = connection.connection is not None
    return [before, Reminder.objects.count(), self.request.retries]
