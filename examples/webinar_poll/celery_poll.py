"""Each hour a calendar is read, and one job stored for each webinar in it, due at its start. Written for Celery.

The calendar is ``webinars.json``: ``[{"id": "w1", "title": "...", "start": "2026-12-01T18:00:00+00:00"}]``. Attending
one is a line in ``attended.txt`` here; apps/webinars does it with a browser.
"""

import json
from datetime import datetime

from celery import Celery
from celery.schedules import crontab

app = Celery("celery_poll", broker="pyamqp://guest@localhost//")
app.conf.timezone = "Europe/Berlin"


@app.on_after_configure.connect
def setup_periodic_tasks(sender, **kwargs):
    sender.add_periodic_task(crontab(minute=0), read_calendar, name="read the calendar")


@app.task
def read_calendar():
    """Ask for each webinar; the id makes it one job, however often the calendar is read."""
    with open("webinars.json") as file:
        webinars = json.load(file)
    for webinar in webinars:
        start = datetime.fromisoformat(webinar["start"])
        attend.apply_async((webinar["title"],), eta=start, task_id="webinar-" + webinar["id"])
    return len(webinars)


@app.task
def attend(title):
    with open("attended.txt", "a") as file:
        file.write(title + "\n")


if __name__ == "__main__":
    print("found", read_calendar.delay().get(timeout=20))
    print("and again", read_calendar.delay().get(timeout=20))
