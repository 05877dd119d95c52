"""An app that the project makes itself, and that knows nothing of Django."""

from duly import Duly

app = Duly("own")


@app.task
def count() -> int:
    from reminders.models import Reminder

    return Reminder.objects.count()
