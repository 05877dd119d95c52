"""The demon of a chaos run: kills, freezes, stops, cancels and moves, and does what can be done to the place of the
jobs, by a seed, and logs each deed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from chaos_log import parse

from duly import store as stores
from duly.clock import MICROS
from duly.errors import StoreUnavailable
from duly.job import Change, Filter
from duly.worker import proctree

if TYPE_CHECKING:
    from chaos_run import Run, Worker

_SWEPT = 3.0  # seconds after its supervisor's death in which all that a worker had started has to be gone


class Demon:
    """Acts upon one run; ``act`` does one thing and waits a moment."""

    def __init__(self, run: Run, rng: random.Random) -> None:
        self._run = run
        self._rng = rng
        self._store = stores.open(run.place.sure_url)
        self._later: list[tuple[float, Callable[[], None]]] = []  # monotonic, what
        self._read = 0  # bytes of the log that were read
        self._known: list[str] = []  # acknowledged ids
        self._order = random.Random(run.seed)  # of the deeds; what they hit is up to the moment
        self._bag: list[Callable[[], None]] = []
        self._deeds: list[tuple[int, Callable[[], None]]] = [
            (6, self.kill_executor),
            (3, self.kill_supervisor),
            (2, self.kill_both),
            (3, self.kill_producer),
            (3, self.freeze),
            (2, self.stop_warm),
            (2, self.stop_cold),
            (5, self.cancel),
            (5, self.move),
            (4, self.look_at_keys),
            *run.place.deeds(rng),
        ]

    def act(self) -> None:
        self._do_what_was_put_off()
        deed = self._draw()
        with contextlib.suppress(StoreUnavailable):  # who holds the lock may be somebody that is frozen, by us
            deed()
        time.sleep(self._order.uniform(0.05, 0.5))

    def _draw(self) -> Callable[[], None]:
        """The next deed: out of a bag, so that each comes as often as it should, in any order."""
        if not self._bag:
            self._bag = [deed for times, deed in self._deeds for _ in range(times)]
            self._order.shuffle(self._bag)
        return self._bag.pop()

    def heal(self) -> None:
        """Thaw what is frozen, and mend the place of the jobs."""
        for _, what in self._later:
            what()
        self._later.clear()
        self._store.close()
        self._run.place.heal()

    def _do_what_was_put_off(self) -> None:
        now = time.monotonic()
        due = [what for when, what in self._later if when <= now]
        self._later = [(when, what) for when, what in self._later if when > now]
        for what in due:
            what()

    def _put_off(self, seconds: float, what: Callable[[], None]) -> None:
        self._later.append((time.monotonic() + seconds, what))

    def _worker(self, leaving: bool = False) -> Worker | None:
        """One that is not frozen; also one that was told to stop, if ``leaving``."""
        found = [w for w in self._run.workers if w.alive() and not w.frozen and (leaving or not w.leaving)]
        return self._rng.choice(found) if found else None

    # -- killing -------------------------------------------------------------------------------------

    def kill_executor(self) -> None:
        worker = self._worker(leaving=True)
        executors = worker.executors() if worker is not None else []
        if executors:
            self._kill(self._rng.choice(executors), "executor")

    def kill_supervisor(self) -> None:
        worker = self._worker(leaving=True)
        if worker is not None:
            self._kill_worker(worker)

    def kill_both(self) -> None:
        worker = self._worker(leaving=True)
        if worker is None:
            return
        for pid in worker.executors()[: self._rng.randint(1, 2)]:
            self._kill(pid, "executor")
        self._kill_worker(worker)

    def _kill_worker(self, worker: Worker) -> None:
        mark = next((found for pid in worker.executors() if (found := _mark_of(pid))), None)
        self._kill(worker.pid, "supervisor")
        worker.process.wait()
        if mark is not None:
            self._put_off(_SWEPT, lambda: self._see_that_nothing_is_left(worker, mark))

    def _see_that_nothing_is_left(self, worker: Worker, mark: str) -> None:
        for process in proctree.members(mark):
            self._run.problems.append(f"process {process.pid} outlived its killed supervisor {worker.pid}")

    def kill_producer(self) -> None:
        producer = self._run.producers[self._rng.choice(sorted(self._run.producers))]
        self._kill(producer.pid, "producer")
        producer.wait()

    def _kill(self, pid: int, what: str) -> None:
        self._run.log.write("kill", victim=pid, role=what)
        _signal(pid, signal.SIGKILL)

    # -- freezing, stopping --------------------------------------------------------------------------

    def freeze(self) -> None:
        """Stop the clock of a worker, or of a part of it, for longer than its lease."""
        worker = self._worker()
        if worker is None:
            return
        executors = worker.executors()
        part = self._rng.choice(["whole", "whole", "supervisor", "executor"])
        pids = {"whole": [worker.pid, *executors], "supervisor": [worker.pid], "executor": executors[:1]}[part]
        worker.frozen = True
        self._run.log.write("freeze", victims=pids, worker=worker.pid)
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        self._put_off(worker.lease * self._rng.uniform(1.1, 2), lambda: self._thaw(worker, pids))

    def _thaw(self, worker: Worker, pids: list[int]) -> None:
        for pid in pids:
            _signal(pid, signal.SIGCONT)
        self._run.log.write("thaw", victims=pids, worker=worker.pid)
        worker.frozen = False

    def stop_warm(self) -> None:
        worker = self._worker()
        if worker is not None:
            self._run.log.write("warm", worker=worker.pid)
            worker.leaving = True
            worker.process.send_signal(signal.SIGTERM)

    def stop_cold(self) -> None:
        worker = self._worker()
        if worker is not None:
            self._run.log.write("cold", worker=worker.pid)
            worker.leaving = True
            worker.process.send_signal(signal.SIGQUIT)

    # -- the store -----------------------------------------------------------------------------------

    def cancel(self) -> None:
        ids = self._some(3)
        terminate = self._rng.random() < 0.3
        if not ids:
            return
        store = self._store
        answers = store.cancel(Filter(ids=ids), terminate)
        attempt = {job.id: job.attempt for job in store.jobs(Filter(ids=ids)).jobs}
        for answer in answers:
            self._run.log.write(
                "cancel", job=answer.id, verdict=answer.verdict, attempt=attempt.get(answer.id), terminate=terminate
            )

    def move(self) -> None:
        store = self._store
        waiting = [job.id for job in store.jobs(Filter(states=("scheduled",)), limit=50).jobs]
        for id_ in self._rng.sample(waiting, min(3, len(waiting))):
            due = store.now() + round(self._rng.uniform(0, 3) * MICROS)
            for answer in store.move(Filter(ids=(id_,)), Change(due=due)):
                self._run.log.write("move", job=id_, verdict=answer.verdict, due=due)

    def look_at_keys(self) -> None:
        for key in ("solo1", "solo2", "turn1", "turn2"):
            found = self._store.jobs(Filter(key=key, states=("scheduled", "queued", "retrying", "running"))).jobs
            if len(found) > 1:
                self._run.problems.append(f"key {key} is held by {[job.id for job in found]}")

    def _some(self, n: int) -> tuple[str, ...]:
        """Ids of jobs that were acknowledged lately."""
        with open(self._run.log_file, "rb") as file:
            file.seek(self._read)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        self._known += [event["job"] for event in parse(whole)[0] if event.what == "ack"]
        self._known = self._known[-300:]
        return tuple(dict.fromkeys(self._rng.sample(self._known, min(n, len(self._known)))))


def _mark_of(pid: int) -> str | None:
    """The mark of the worker that this executor belongs to."""
    with contextlib.suppress(OSError), open(f"/proc/{pid}/environ", "rb") as file:
        for entry in file.read().split(b"\0"):
            if entry.startswith(proctree.WORKER_MARK.encode() + b"="):
                return entry.decode()
    return None


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
