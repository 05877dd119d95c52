"""Canvases while everything that runs them is killed: ``python tests/chaos/canvas_storm.py --seconds 60 --seed 7``.

Workers and executors get SIGKILL several times a second while canvases of every shape are called. Afterwards:

    dropped   a canvas without its value, or a job that has not ended
    doubled   a job whose success was accepted twice; a job more than the canvas has; an errback called twice
    early     a job that began before one that it waits for had ended
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from typing import Any

from chaos_log import parse
from chaos_run import Run

from duly import Signature, chain, chord, group
from duly.job import JobView, State


class Storm(Run):
    """One run; see the module's text."""

    tasks = "canvas_tasks"

    def __init__(self, seed: int, kind: str = "sqlite") -> None:
        super().__init__(seed, kind)
        os.environ["CHAOS_LOG"] = str(self.log_file)  # of the tasks, whose module is imported here too
        import canvas_tasks

        self.t = canvas_tasks
        self.t.app.use_store(self.url)
        self.calls: list[tuple[Any, Any, int]] = []  # result, the value it has to have or None, how many jobs
        self.kills = 0

    def play(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        producer = threading.Thread(target=self._call_until, args=[end])
        producer.start()
        while time.monotonic() < end:
            self.staff()
            self._kill_one()
            time.sleep(self.rng.uniform(0.05, 0.25))
        producer.join()
        self.staff()
        self._drain(90)
        self._end_workers(30)

    def staff(self) -> None:
        self.workers = [worker for worker in self.workers if worker.alive()]
        for pool in ("process", "thread", "process")[len(self.workers) :]:
            self.start_worker(pool, 1.0)

    def _kill_one(self) -> None:
        worker = self.rng.choice(self.workers)
        victims = worker.executors() if self.rng.random() < 0.8 else [worker.pid]
        if victims:
            self.kills += 1
            try:
                os.kill(self.rng.choice(victims), signal.SIGKILL)
            except ProcessLookupError:
                return

    # -- calling -------------------------------------------------------------------------------------

    def _call_until(self, end: float) -> None:
        shapes = [self._chain, self._chord, self._nested, self._grown, self._failing]
        rng = random.Random(self.seed)
        while time.monotonic() < end:
            sig, value, jobs = rng.choice(shapes)(rng)
            self.calls.append((sig.apply_async(), value, jobs))
            time.sleep(0.01)

    def _chain(self, rng: random.Random) -> tuple[Signature[Any], int, int]:
        n = rng.randint(2, 6)
        return chain(self.t.step.s(1, 1), *(self.t.step.s(1) for _ in range(n))), 2 + n, n + 1

    def _chord(self, rng: random.Random) -> tuple[Signature[Any], int, int]:
        n = rng.randint(1, 20)
        return chord([self.t.step.s(i, 0) for i in range(n)], self.t.total.s()), n * (n - 1) // 2, n + 1

    def _nested(self, rng: random.Random) -> tuple[Signature[Any], int, int]:
        inner = chain(self.t.step.s(1, 1), group(self.t.step.s(1), self.t.step.s(2)), self.t.total.s())
        return chord([inner, self.t.step.s(3, 0)], chain(self.t.total.s(), self.t.step.s(1))), 11, 7

    def _grown(self, rng: random.Random) -> tuple[Signature[Any], int, int]:
        n = rng.randint(1, 8)
        return chain(self.t.grow.s(2, n), self.t.step.s(1)), 3 * n + 1, n + 2

    def _failing(self, rng: random.Random) -> tuple[Signature[Any], None, int]:
        sig = chain(self.t.step.s(1, 1), self.t.fail.s(), self.t.step.s(1)).on_error(self.t.mourn.s())
        return sig, None, 4

    # -- checking ------------------------------------------------------------------------------------

    def verdict(self) -> tuple[list[str], str]:
        """What is wrong, and a line about the run."""
        jobs = {job.id: job for job in self._jobs()}
        wrong = [*self.problems, *self._dropped(jobs), *self._doubled(jobs), *self._early(jobs)]
        kinds = Counter("fails" if value is None else "gives a value" for _, value, _ in self.calls)
        lost = sum(job.lost for job in jobs.values())
        line = f"{dict(kinds)}, {len(jobs):,} jobs, {self.kills} kills, {lost} jobs lost on the way"
        return wrong, line

    def _dropped(self, jobs: dict[str, JobView]) -> list[str]:
        wrong = [f"job {one.id} has not ended: {one.state.name}" for one in jobs.values() if not one.state.final]
        for result, value, _ in self.calls:
            found = result.get(timeout=0, propagate=False)
            if found != value and not (value is None and isinstance(found, ValueError)):
                wrong.append(f"dropped: {result.id} gave {found!r} and not {value!r}")
        return wrong

    def _doubled(self, jobs: dict[str, JobView]) -> list[str]:
        wrong = []
        planned = sum(n for _, _, n in self.calls)
        if len(jobs) != planned:
            wrong.append(f"doubled or dropped: {len(jobs)} jobs in the store, {planned} in the canvases")
        for id in jobs:
            ends = [one.outcome for one in self.store.attempts(id) if one.outcome in ("succeeded", "failed")]
            if len(ends) > 1:
                wrong.append(f"doubled: job {id} ended {ends}")
        mourned = sum(job.task == "canvas_tasks.mourn" and job.state == State.SUCCEEDED for job in jobs.values())
        failing = sum(value is None for _, value, _ in self.calls)
        if mourned != failing:
            wrong.append(f"{mourned} errbacks for {failing} failures")
        return wrong

    def _early(self, jobs: dict[str, JobView]) -> list[str]:
        """From the log, which is written by the tasks themselves."""
        events, _ = parse(self.log_file.read_bytes())
        ended: dict[str, float] = {}
        for event in events:
            if event.what == "ended":
                ended.setdefault(str(event["job"]), event.mono)
        before: dict[str, list[str]] = {}
        for job in jobs.values():
            for gate, _ in job.gates:
                before.setdefault(gate, []).append(job.id)
        wrong = []
        for event in events:
            job = jobs.get(str(event["job"]))
            if event.what != "began" or job is None or job.after is None or job.task.endswith("mourn"):
                continue
            if event["attempt"] == 1 and job.task.endswith("grow"):
                continue
            late = [id for id in before[job.after] if ended.get(id, 1e18) > event.mono]
            if late and not self._was_replaced(job, event["attempt"]):
                wrong.append(f"early: job {job.id} began before {late} had ended")
        return wrong

    def _was_replaced(self, job: JobView, attempt: int) -> bool:
        """Whether this attempt was still that of the job which another then took the place of."""
        history = self.store.attempts(job.id)
        return any(one.outcome == "replaced" and one.attempt >= attempt for one in history)


def main() -> int:
    parser = argparse.ArgumentParser(description="One storm over canvases.")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--store", default="sqlite", help="one of chaos_places.PLACES")
    options = parser.parse_args()
    run = Storm(options.seed, options.store)
    wrong: list[str] = ["it did not come to its end"]
    try:
        run.play(options.seconds)
        wrong, line = run.verdict()
        print(f"seed {options.seed}, {options.seconds:g} s: {line}; {len(wrong)} wrong", *wrong, sep="\n  ")
    finally:
        run.close(bool(wrong))
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
