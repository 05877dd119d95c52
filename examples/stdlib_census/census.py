"""A census of the standard library: the whole of duly on real input, with a worker killed in the middle.

What happens
    1. One job for each ``.py`` file of the running Python's standard library, and 300 appointments
       spread over ten seconds, go into a store of their own.
    2. Two workers run them. A third of the way through, one is ended with SIGKILL, and what it had taken has to
       run elsewhere. A successor is started, as systemd would do.
    3. Every result is compared with a serial run in this process, and the report is printed.

Exit status 0 only when every file and every appointment was done, exactly once in effect, none before it was due,
and every result is that of the serial run. Whatever was started is ended, by its pid, in any case.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
FOLDER = Path(tempfile.mkdtemp(prefix="duly-census-"))
os.environ["DULY_STORE"] = f"sqlite:///{FOLDER}/census.duly.db"

import report  # noqa: E402 - the app reads DULY_STORE
from tasks import app, examine, facts, keep_appointment  # noqa: E402

from duly import AsyncResult  # noqa: E402

APPOINTMENTS = 300
OVER = 10.0  # seconds
LEAD = 1.0  # seconds until the first appointment
PATIENCE = 120.0  # seconds until we give up


class Worker:
    """A worker: a process of its own, as a user starts it."""

    def __init__(self, name: str) -> None:
        self.name = name
        command = [str(Path(sys.executable).with_name("duly")), "-A", "tasks", "worker", "-n", name]
        with open(FOLDER / f"{name}.log", "wb") as log:
            self.process = subprocess.Popen(
                [*command, "-c", "1", "-l", "WARNING"], cwd=HERE, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C is ours to pass on
            )  # fmt: skip

    def kill(self) -> int:
        """SIGKILL: no chance to say goodbye. Gives the instant, microseconds UTC."""
        at = time.time_ns() // 1000
        self.process.kill()
        self.process.wait()
        return at

    def end(self) -> None:
        """TERM, and KILL if that does not help within five seconds."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()


def main() -> int:
    workers: list[Worker] = []
    try:
        return census(workers)
    except KeyboardInterrupt:
        print("\nstopped; the workers are ended", file=sys.stderr)
        return 130
    except TimeoutError as error:
        print(f"\n{error}\n{logs()}", file=sys.stderr)
        return 1
    finally:
        for worker in workers:
            worker.end()
        app.close()
        shutil.rmtree(FOLDER, ignore_errors=True)


def census(workers: list[Worker]) -> int:
    paths = source_files()
    print(f"{len(paths):,} files under {sysconfig.get_path('stdlib')}; two workers; {APPOINTMENTS} appointments")
    workers += [Worker("one"), Worker("two")]
    wait_for_workers(2)
    begin = time.monotonic()
    appointments = make_appointments()
    jobs = examine.enqueue_many([(path,) for path in paths])
    with report.bars({"files": len(jobs), "appointments": len(appointments)}) as show:
        watch(show, jobs, appointments, until=len(jobs) // 3)
        killed = workers[0].kill()
        show.note("worker one is killed with SIGKILL; a successor starts")
        workers.append(Worker("successor"))
        watch(show, jobs, appointments, until=len(jobs))
    seconds = time.monotonic() - begin
    for worker in workers:
        worker.end()
    with report.bars({"files once more, serially": len(paths)}) as show:
        expected = list(serial(show, paths))
    return report.print_report(
        report.Findings(
            files=[outcome(job) for job in jobs],
            expected=expected,
            appointments=[(due, outcome(job)) for due, job in appointments],
            effects=effects([*jobs, *(job for _, job in appointments)]),
            killed=killed,
            seconds=seconds,
        )
    )


def source_files() -> list[str]:
    """Every .py file of the standard library, without what was installed into it."""
    found = []
    for folder, below, names in os.walk(sysconfig.get_path("stdlib")):
        below[:] = sorted(set(below) - {"site-packages", "dist-packages", "__pycache__"})
        found += [os.path.join(folder, name) for name in sorted(names) if name.endswith(".py")]
    return found


def make_appointments() -> list[tuple[int, AsyncResult[int]]]:
    """Jobs due one after the other; each with its due, microseconds UTC. They go before the files."""
    first = time.time_ns() // 1000 + int(LEAD * 1e6)
    dues = [first + int(OVER * 1e6 * i / APPOINTMENTS) for i in range(APPOINTMENTS)]
    return [
        (due, keep_appointment.apply_async(eta=datetime.fromtimestamp(due / 1e6, UTC), priority=9)) for due in dues
    ]


def watch(show: report.Bars, jobs: list[Any], appointments: list[Any], until: int) -> None:
    """Show how far it is, until so many files are done (and at the end every appointment)."""
    deadline = time.monotonic() + PATIENCE
    totals = {"files": len(jobs), "appointments": len(appointments)}
    waiting = {"files": [job.id for job in jobs], "appointments": [job.id for _, job in appointments]}
    while True:
        waiting = {name: not_ended(ids) for name, ids in waiting.items()}
        done = {name: totals[name] - len(ids) for name, ids in waiting.items()}
        show.update(done)
        if done["files"] >= until and (until < len(jobs) or done == totals):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"not finished after {PATIENCE:g} s: {done}")
        time.sleep(0.2)


def not_ended(ids: list[str]) -> list[str]:
    found = zip(ids, app.store.results(ids), strict=True)
    return [id for id, result in found if result is None or not result.state.final]


def wait_for_workers(count: int) -> None:
    deadline = time.monotonic() + 30
    while len(app.store.workers()) < count:
        if time.monotonic() > deadline:
            raise TimeoutError("the workers did not start")
        time.sleep(0.02)


def outcome(job: AsyncResult[Any]) -> report.Outcome:
    """What the store says of one job."""
    value = job.get(timeout=0) if job.successful() else None
    return report.Outcome(value=value, state=job.state, attempts=app.store.attempts(job.id))


def effects(jobs: list[AsyncResult[Any]]) -> dict[str, int]:
    """How many effects the store holds for each job, read from its file."""
    with contextlib.closing(sqlite3.connect(f"file:{FOLDER}/census.duly.db?mode=ro", uri=True)) as db:
        counts = dict(
            db.execute("SELECT jobs.id, count(*) FROM effects JOIN jobs ON jobs.seq = effects.job GROUP BY jobs.id")
        )
    return {job.id: counts.get(job.id, 0) for job in jobs}


def serial(show: report.Bars, paths: list[str]) -> Iterator[dict[str, Any]]:
    for done, path in enumerate(paths, 1):
        yield facts(path)
        show.update({"files once more, serially": done})


def logs() -> str:
    texts = []
    for path in sorted(FOLDER.glob("*.log")):
        with contextlib.suppress(OSError):
            texts.append(f"--- {path.name}\n{path.read_text(errors='replace')[-2000:]}")
    return "\n".join(texts)


if __name__ == "__main__":
    sys.exit(main())
