"""Figures of this application on this machine: ``python apps/webinars/bench.py [lateness] [memory] [sync]``.

The host is the tests' own, on loopback; worker, store and browsers are real.

* lateness: webinars one after the other; how late their jobs start, and how early their pages are open.
* memory: all of a worker's processes with their browsers, as PSS (shared pages are divided among those who share).
* sync: a reading of 2,000 events, all of them webinars; CPU time of this process, from the request to the jobs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "tests"))

import psutil
from webinar_site.google import Google
from webinar_site.google import event as google_event
from webinar_site.server import Site

from duly import Filter
from webinars.calendars.google import GoogleSource
from webinars.instants import from_micros
from webinars.service import Service
from webinars.settings import load

WEBINARS = 20  # of the lateness run
EVERY = 9  # seconds between two of them
LEAD = 20  # seconds; two minutes unless set, but so long nobody wants to wait here
EVENTS = 2_000


def main() -> None:
    wanted = sys.argv[1:] or ["lateness", "memory", "sync"]
    runs: dict[str, Callable[[Path], None]] = {"lateness": lateness, "memory": memory, "sync": sync}
    for name in wanted:
        if name not in runs:
            raise SystemExit(f"no benchmark {name!r}; there are: {', '.join(runs)}")
        with tempfile.TemporaryDirectory() as folder:
            runs[name](Path(folder))


def lateness(folder: Path) -> None:
    """Two or three browsers at the same time, each of which leaves a second after the start."""
    with installed(folder, f'lead = "{LEAD}s"\ngrace = "0s"') as (service, site):
        first = datetime.now(UTC) + timedelta(seconds=LEAD + 25)
        entries = []
        for n in range(WEBINARS):
            site.phase[f"late-{n}"] = "live"
            entries.append((f"late-{n}", first + n * timedelta(seconds=EVERY)))
        write(folder, [(name, start, 1, f"{site.url}/room/{name}") for name, start in entries])
        with up(folder):
            wait(lambda: len(service.ledger.reports()) == WEBINARS, WEBINARS * EVERY + 120)
        plan = service.ledger.plan().values()
        jobs = [service.app.jobs(Filter(ids=(entry.job,))).jobs[0] for entry in plan]
        late = sorted((job.started - job.due) / 1e3 for job in jobs if job.started is not None)
        opened = [(entry.event.start, service.ledger.visits(entry)[0].page_open) for entry in plan]
        ahead = sorted((start - seen).total_seconds() for start, seen in opened if seen is not None)
        print(f"{len(late)} webinars, lead {LEAD} s")
        print(f"  job start after due: p50 {at(late, 50):.1f} ms, p99 {at(late, 99):.1f} ms")
        print(f"  page open before the start: least {ahead[0]:.1f} s, p50 {at(ahead, 50):.1f} s")


def memory(folder: Path) -> None:
    """With no webinar, with one, with four: each a page with a video that plays."""
    with installed(folder, 'screenshots = "1h"') as (service, site), up(folder) as worker:
        wait(lambda: service.has_worker(), 60)
        print("memory of a worker with its browsers")
        for wanted in (0, 1, 4):
            while len(plan := service.ledger.plan()) < wanted:
                room = f"memory-{len(plan)}"
                site.phase[room] = "live"
                service.attend_now(f"{site.url}/room/{room}", room, timedelta(hours=1))
            wait(lambda: sum(inside(service)) == wanted, 120)  # noqa: B023 - waited for at once
            time.sleep(15)  # let caches fill: what counts is what it takes while it goes on
            print(f"  {wanted} webinars: {pss(worker) >> 20:,} MiB")


def sync(folder: Path) -> None:
    """Through the Calendar API: the first reading stores the jobs, later ones find little or nothing to change."""
    (folder / "webinars.toml").write_text(
        f'folder = "{folder}/place"\n[me]\nname = "A"\nemail = "a@example.org"\n'
        '[[calendars]]\nname = "g"\nkind = "google"\ncredentials = "secret:g"\n'
    )
    google = Google()
    google.page = 2_500
    google.tokens = 1
    source = GoogleSource("g", "ada@example.org", _Token(), google.url)
    service = Service(load(folder / "webinars.toml"), open_source=lambda name: source)
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    google.events = [_event(n, start + n * timedelta(hours=4)) for n in range(EVENTS)]
    print(f"a reading of {EVENTS:,} events, all webinars: CPU time of our own, and by the clock")
    _reading(service, "all new")
    _reading(service, "unchanged")
    google.events[:100] = [_event(n, start + n * timedelta(hours=4) + timedelta(minutes=15)) for n in range(100)]
    _reading(service, "100 moved")
    google.close()


def _reading(service: Service, what: str) -> None:
    """Called as the task is called, in this process."""
    cpu, wall = time.thread_time(), time.perf_counter()
    outcome = service.read()
    cpu, wall = time.thread_time() - cpu, time.perf_counter() - wall
    print(f"  {what:10} {cpu:.2f} s CPU, {wall:.2f} s; {outcome.text()}")


class _Token:
    def token(self, fresh: bool = False) -> str:
        return "token-1"


def _event(n: int, start: datetime) -> dict[str, object]:
    return google_event(
        f"e{n}", start.isoformat(), (start + timedelta(hours=1)).isoformat(), location=f"https://zoom.us/w/{n}"
    )


# -- the installation --------------------------------------------------------------------------------


@contextmanager
def installed(folder: Path, times: str) -> Iterator[tuple[Service, Site]]:
    (folder / "webinars.toml").write_text(
        f'folder = "{folder}/place"\n[me]\nname = "A"\nemail = "a@example.org"\n[browser]\nat_once = 4\n'
        f'[[calendars]]\nname = "c"\nkind = "ical"\npath = "{folder}/c.ics"\n'
        f'[[rules.take]]\ncalendar = "c"\n[times]\n{times}\n'
    )
    write(folder, [])
    site = Site(folder)
    yield Service(load(folder / "webinars.toml")), site
    site.close()


def write(folder: Path, events: list[tuple[str, datetime, int, str]]) -> None:
    """The calendar: title, start, seconds, link."""
    body = "".join(
        f"BEGIN:VEVENT\r\nUID:{title}\r\nSUMMARY:{title}\r\nDTSTART:{start:%Y%m%dT%H%M%SZ}\r\nDURATION:PT{length}S\r\n"
        f"LOCATION:{link}\r\nEND:VEVENT\r\n"
        for title, start, length, link in events
    )
    (folder / "c.ics").write_text(f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{body}END:VCALENDAR\r\n")


@contextmanager
def up(folder: Path) -> Iterator[psutil.Process]:
    command = [sys.executable, "-m", "webinars", "--settings", str(folder / "webinars.toml"), "up", "--no-page"]
    with open(folder / "up.log", "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))
    yield psutil.Process(process.pid)
    process.terminate()
    process.wait(60)


def inside(service: Service) -> list[bool]:
    return [any(visit.joined for visit in service.ledger.visits(entry)) for entry in service.ledger.plan().values()]


def pss(process: psutil.Process) -> int:
    """Bytes of a process and all that it started."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue  # it has ended meanwhile
    return total


def wait(what: Callable[[], object], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            raise SystemExit(
                f"it did not come to that within {seconds:g} s, at {from_micros(time.time_ns() // 1000)}"
            )
        time.sleep(0.1)


def at(values: list[float], percent: float) -> float:
    """The nearest rank."""
    return values[min(round(percent / 100 * len(values) + 0.5), len(values)) - 1]


if __name__ == "__main__":
    main()
