"""One task, due in N seconds: ``python duly_demo.py 120``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from duly import Duly, Task

app = Duly("duly_demo")
RAN = Path("ran.txt")


@app.task(bind=True)
def remind(self: Task[..., Any], due: datetime) -> float:
    late = datetime.now(UTC) - due
    with RAN.open("a") as file:
        file.write(f"{self.request.id} attempt {self.request.attempt}\n")
    return late.total_seconds()


def main() -> None:
    due = datetime.now(UTC) + timedelta(seconds=float(sys.argv[1]))
    job = remind.apply_async((due,), eta=due)
    print("due", due.isoformat(timespec="seconds"), "state", job.state)
    late = job.get(timeout=float(sys.argv[1]) + 20)
    print("ran at its time:", 0 <= late < 5)
    print("runs:", len(RAN.read_text().splitlines()))


if __name__ == "__main__":
    main()
