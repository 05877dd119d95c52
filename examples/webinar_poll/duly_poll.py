"""Each hour a calendar is read, and the stored jobs are made what it says: one for each webinar, due at its start.

The calendar is ``webinars.json``: ``[{"id": "w1", "title": "...", "start": "2026-12-01T18:00:00+00:00"}]``. A webinar
that is moved or cancelled there is moved or cancelled here. Attending one is a line in ``attended.txt`` here;
apps/webinars does it with a browser.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from duly import Appointment, Duly
from duly.schedules import crontab

app = Duly("duly_poll", timezone="Europe/Berlin")


@app.periodic(crontab(minute=0), name="read the calendar")
@app.task
def read_calendar() -> int:
    webinars = json.loads(Path("webinars.json").read_text())
    wanted = {
        webinar["id"]: Appointment(attend, (webinar["title"],), eta=datetime.fromisoformat(webinar["start"]))
        for webinar in webinars
    }
    app.sync("webinars", wanted)
    return len(wanted)


@app.task(on_late="skip", late_tolerance=600)
def attend(title: str) -> None:
    with Path("attended.txt").open("a") as file:
        file.write(title + "\n")


if __name__ == "__main__":
    print("found", read_calendar.delay().get(timeout=20))
    print("and again", read_calendar.delay().get(timeout=20))
