"""Why a job has not run: one sentence with the cause, and what to do about it where there is something to do.

Causes are looked for in the order in which they hold a job back: its state, its due, a pause, nobody there for
it, a limit, and at last the jobs before it.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from datetime import UTC, tzinfo

import msgspec

from duly.clock import MICROS, from_micros
from duly.config import nearest
from duly.errors import JobUnknown
from duly.job import COUNT_CAP, Attempt, ErrorInfo, Filter, Flag, GateView, JobView, Progress, State, WorkerInfo
from duly.messages import Lane
from duly.rates import format_rate
from duly.store.contract import Store

_error = msgspec.json.Decoder(ErrorInfo).decode
_progress = msgspec.json.Decoder(Progress).decode
_HELD_AT_ONCE = 1000  # running jobs looked at to tell how many slots are busy


def why(store: Store, id: str, zone: tzinfo = UTC) -> str:
    """One sentence; times of day are in ``zone``. Raises JobUnknown, StoreError."""
    found = store.jobs(Filter(ids=(id,)), limit=1).jobs
    if not found:
        raise JobUnknown(f"no job {id!r} in this store: it never was here, or was forgotten or pruned")
    return Case(store, found[0], zone).sentence()


class Case:
    """One job and what is asked about it."""

    def __init__(self, store: Store, job: JobView, zone: tzinfo) -> None:
        self.store = store
        self.job = job
        self.zone = zone
        self.now = store.now()

    def sentence(self) -> str:
        if self.job.state.final:
            return self._ended()
        if self.job.state == State.RUNNING:
            return self._running()
        for cause in (
            self._held,
            self._expired,
            self._not_due,
            self._paused,
            self._nobody_serves,
            self._nobody_registers,
            self._limited,
        ):
            if text := cause():
                return text
        return self._in_line()

    # -- not waiting -----------------------------------------------------------------------------

    def _ended(self) -> str:
        job = self.job
        when = f"{self._ago(job.finished)} ago" if job.finished else "at an unknown time"
        said = _said(job.error)
        if job.state == State.SUCCEEDED:
            ran = f" after {self._span(job.finished - job.started)}" if job.finished and job.started else ""
            return f"It succeeded {when}{ran}."
        if job.state == State.FAILED:
            return f"It failed {when} with {said}; `duly retry {argument(job.id)}` runs it again."
        if job.state == State.UNCERTAIN:
            return (
                f"Nobody knows: its worker died while it ran, {when}, and it may run at most once; find out how far "
                f"it came, then `duly retry {argument(job.id)}` or leave it."
            )
        reason = _message(job.error)
        how = ", on request" if reason == "cancelled" else f": {reason}"
        return f"It was cancelled {when}{how}; `duly retry {argument(job.id)}` runs it all the same."

    def _running(self) -> str:
        job = self.job
        ran = self._ago(job.started)
        if job.cancelling:
            return (
                f"It was asked to cancel and has not stopped yet: running on {job.worker} for {ran}; "
                f"`duly cancel --terminate {argument(job.id)}` kills it."
            )
        return f"It is running on {job.worker} for {ran}{_how_far(job.progress)}{self._stale()}."

    def _stale(self) -> str:
        workers = [worker for worker in self.store.workers() if _name(worker) == self.job.worker]
        if any(worker.expires > self.now for worker in workers):
            return ""
        return ", but that worker gives no sign of life; it is given back as soon as another worker looks"

    # -- waiting ---------------------------------------------------------------------------------

    def _held(self) -> str | None:
        """At a gate: how many of its members are left, and one of them."""
        job = self.job
        if not job.held or job.after is None:
            return None
        [gate] = self.store.gates([job.after])
        if gate is None:
            return None
        rest = next((one for one in self.store.members(gate.id) if not one.state.final), None)
        first = "" if rest is None else f": {rest.id}, which is {rest.state_name(self.now)}"
        others = ", and others" if rest is not None and gate.left > 1 else ""
        jobs = "its one job" if gate.size == 1 else f"{gate.left:,} of {gate.size:,} jobs"
        if job.flags & Flag.ON_FAILURE:
            return f"It waits for the failure of {jobs}{first}{others}."
        return f"It waits for {jobs}{first}{others}{self._failed_already(gate)}."

    @staticmethod
    def _failed_already(gate: GateView) -> str:
        if gate.first_failed is None:
            return ""
        return f"; {gate.first_failed} did not succeed, so it will fail unless `duly retry` mends that"

    def _expired(self) -> str | None:
        expires = self.job.expires
        if expires is None or expires > self.now:
            return None
        return f"It expired {self._ago(expires)} ago, before it could start; the next worker that sees it cancels it."

    def _not_due(self) -> str | None:
        job = self.job
        if job.due <= self.now:
            return None
        at = f"in {self._span(job.due - self.now)}, at {self._moment(job.due)}"
        if job.attempt == 0:
            return f"It is not due yet: {at}; `duly move --eta now {argument(job.id)}` starts it at once."
        last = self._last_attempt()
        after = f" after {_said(last.error)}" if last is not None and last.error is not None else ""
        return f"It is being retried {at}{after} (attempt {job.attempt} {_ended_as(last)})."

    def _last_attempt(self) -> Attempt | None:
        attempts = self.store.attempts(self.job.id)
        return attempts[-1] if attempts else None

    def _paused(self) -> str | None:
        queue = self.job.queue
        since = self.store.paused().get(queue)
        if since is None:
            return None
        return (
            f"Queue {queue!r} is paused since {self._moment(since)}; `duly control resume {argument(queue)}` goes on."
        )

    def _nobody_serves(self) -> str | None:
        queue, alive = self.job.queue, self._alive()
        if not alive:
            start = f"`duly -A APP worker -Q {shlex.quote(queue)}`"
            return f"No worker is alive; start one that serves queue {queue!r}: {start}."
        if any(queue in worker.queues for worker in alive):
            return None
        served = "; ".join(f"{_name(worker)} serves {_list(worker.queues)}" for worker in alive[:5])
        queues = {name for worker in alive for name in worker.queues}
        return (
            f"No live worker serves queue {queue!r} ({served}){_near(queue, queues)}; "
            f"`duly control add_consumer {argument(queue)}` makes them, or "
            f"`duly move --to-queue QUEUE {argument(self.job.id)}`."
        )

    def _nobody_registers(self) -> str | None:
        task = self.job.task
        serving = self._serving()
        if any(task in worker.tasks for worker in serving):
            return None
        names = {name for worker in serving for name in worker.tasks}
        who = _list(_name(worker) for worker in serving[:5])
        return (
            f"No worker that serves queue {self.job.queue!r} ({who}) registers task {task!r}{_near(task, names)}; "
            "start one whose app has it, or restart them with the code that has it."
        )

    def _limited(self) -> str | None:
        for lane in self.store.lanes_of(self.job.id):
            if lane.concurrency is not None and lane.running >= lane.concurrency:
                return f"{_of_lane(lane)}: {lane.running} of {lane.concurrency} running; it starts when one ends."
            if lane.rate is not None:
                rate, behind = format_rate(lane.rate, lane.per), self._behind_others(lane)
                until = f" until {self._clock(lane.next_start)}" if lane.next_start > self.now else ""
                if until or behind:
                    return f"{_of_lane(lane)}: rate limit {rate}{until}{', after those before it' if behind else ''}."
        if self.job.lane is not None and self.job.lane.startswith("schedule:"):
            name = self.job.lane.partition(":")[2]
            return f"Another occurrence of schedule {name!r} runs, and its overlap lets one run at a time."
        if self.job.lane is not None:
            return f"It is parked in lane {self.job.lane}, which has room again; a worker takes it out in a moment."
        return None

    def _behind_others(self, lane: Lane) -> bool:
        """Whether others under the same limit come first: higher priority, or the same and due earlier."""
        states, task, queue = ("queued", "retrying"), self.job.task, self.job.queue
        same = Filter(states=states, queues=(queue,)) if lane.scope == "queue" else Filter(states=states, task=task)
        page = self.store.jobs(same, order="due", limit=50)
        earlier = True  # than this job
        for job in page.jobs:
            earlier = earlier and job.id != self.job.id
            first = job.priority > self.job.priority or (job.priority == self.job.priority and earlier)
            # of a key only those are known that were held back already
            under = job.due <= self.now if lane.scope != "key" else job.lane == lane.name
            if under and job.id != self.job.id and first:
                return True
        return False

    def _in_line(self) -> str:
        ahead = self.store.ahead(self.job.id)
        serving = self._serving()
        names = {_name(worker) for worker in serving}
        running = self.store.jobs(Filter(states=("running",)), limit=_HELD_AT_ONCE).jobs
        slots = sum(worker.slots for worker in serving)
        busy = min(slots, sum(job.worker in names for job in running))
        late = f"due for {self._ago(self.job.due)}"
        before = f"{COUNT_CAP:,} or more jobs" if ahead >= COUNT_CAP else "1 job" if ahead == 1 else f"{ahead:,} jobs"
        if not ahead and busy < slots:
            return f"It is about to start: {late}, no job before it, and {slots - busy} of {slots} slots are free."
        advice = "; more workers, or a higher priority for it, would help" if ahead and busy >= slots else ""
        return f"It waits its turn: {late}, {before} before it and {busy} of {slots} slots busy{advice}."

    def _alive(self) -> list[WorkerInfo]:
        return [worker for worker in self.store.workers() if worker.expires > self.now]

    def _serving(self) -> list[WorkerInfo]:
        return [worker for worker in self._alive() if self.job.queue in worker.queues]

    # -- times -----------------------------------------------------------------------------------

    def _ago(self, instant: int | None) -> str:
        return self._span(self.now - instant) if instant is not None else "an unknown time"

    @staticmethod
    def _span(micros: int) -> str:
        return span(micros)

    def _clock(self, instant: int) -> str:
        """Time of day, rounded up to the second; with the date if that is another day."""
        up = from_micros(-(-instant // MICROS) * MICROS, self.zone)
        same = up.date() == from_micros(self.now, self.zone).date()
        return f"{up:%H:%M:%S}" if same else f"{up:%Y-%m-%d %H:%M:%S}"

    def _moment(self, instant: int) -> str:
        return f"{self._clock(instant)} {from_micros(instant, self.zone):%Z}".rstrip()


def span(micros: int) -> str:
    """A length of time in its two largest units: ``3 h 12 min``."""
    seconds = max(micros, 0) / MICROS
    if seconds < 1:
        return f"{round(seconds * 1000)} ms"
    if seconds < 60:
        return f"{int(seconds)} s"
    minutes = int(seconds) // 60
    for size, unit, rest, small in ((1440, "d", 60, "h"), (60, "h", 1, "min")):
        if minutes >= size:
            left = minutes % size // rest
            return f"{minutes // size} {unit}" + (f" {left} {small}" if left else "")
    left = int(seconds) % 60
    return f"{minutes} min" + (f" {left} s" if left else "")


def argument(word: str) -> str:
    """``word`` as it has to be typed as an argument of a command; one like an option stands behind ``--``."""
    return f"-- {shlex.quote(word)}" if word.startswith("-") else shlex.quote(word)


def _name(worker: WorkerInfo) -> str:
    return f"{worker.name}@{worker.host}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"


def _near(name: str, known: Iterable[str]) -> str:
    close = nearest(name, sorted(known))
    return f" (did you mean {close!r}?)" if close is not None else ""


def _of_lane(lane: Lane) -> str:
    what, _, rest = lane.name.partition(":")
    if what == "key":  # key:TASK:KEY; a task's name has no colon, or the key would not be told from it
        task, _, key = rest.partition(":")
        return f"Key {key!r} of task {task}"
    return f"{what.capitalize()} {rest}"


def _said(error: bytes | None) -> str:
    """``ValueError: what it said``, on one line."""
    if error is None:
        return "an unknown error"
    info = _error(error)
    return f"{info.type}: {_one_line(info.message)}" if info.message else info.type


def _message(error: bytes | None) -> str:
    return _one_line(_error(error).message) if error is not None else "no reason was noted"


def _one_line(text: str) -> str:
    line = text.strip().split("\n")[0]
    return line if len(line) <= 200 else line[:199] + "…"


def _how_far(progress: bytes | None) -> str:
    if progress is None:
        return ""
    said = _progress(progress)
    total = f"/{said.total:g}" if said.total is not None else ""
    return f" (progress {said.done:g}{total}{', ' + said.note if said.note else ''})"


def _ended_as(last: Attempt | None) -> str:
    names = {
        "retry": "asked for another run",
        "lost": "was lost with its worker",
        "postponed": "could not be started",
    }
    return names.get(last.outcome, f"ended {last.outcome}") if last is not None else "ended"
