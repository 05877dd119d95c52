"""One task, due in N seconds, written for Celery: ``python celery_demo.py 120``.

With Celery on Redis and a visibility_timeout below N, the same task ran twice. Here it is a row in the store until it
is due, and runs once.
"""

import sys
from datetime import UTC, datetime, timedelta

from celery import Celery

app = Celery("celery_demo", broker="redis://localhost/0")
app.conf.broker_transport_options = {"visibility_timeout": 1}
app.conf.enable_utc = True


@app.task(bind=True)
def remind(self, due):
    late = datetime.now(UTC) - datetime.fromisoformat(due)
    with open("ran.txt", "a") as file:
        file.write(f"{self.request.id} attempt {self.request.retries + 1}\n")
    return late.total_seconds()


def main():
    due = datetime.now(UTC) + timedelta(seconds=float(sys.argv[1]))
    job = remind.apply_async((due.isoformat(),), eta=due)
    print("due", due.isoformat(timespec="seconds"), "state", job.state)
    late = job.get(timeout=float(sys.argv[1]) + 20)
    print("ran at its time:", 0 <= late < 5)
    with open("ran.txt") as file:
        print("runs:", len(file.readlines()))


if __name__ == "__main__":
    main()
