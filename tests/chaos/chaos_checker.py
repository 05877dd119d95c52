"""Reads the log of a chaos run and the store it left, and says what was promised and not kept.

A *body* is one run of a task's function, from its "start" line to its last sign of life. The attempt that the store
says settled a job accounts for one body; every further body of the job is a *repeat*, and has to be explained by
something that was done to the process it ran in. What cannot be explained is a broken promise.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec
from chaos_log import Event, answer

from duly.job import Attempt, Flag, JobView, State

CLOCK = 2_000
"""µs that two looks at the host's clock, in two processes, may disagree at most."""

SERVER_CLOCK = 200_000
"""µs that a worker may take a server's clock to be behind: the quickest of the last answers, on a busy machine."""

FLUSHED = 3.0
"""Seconds in which PostgreSQL writes to a busy disk what nobody waits for: at least three times wal_writer_delay."""

FOREVER = float("inf")
_BY_THE_TASK = {"succeeded", "failed", "retry"}  # outcomes that follow from a body that came to its end


class Body(msgspec.Struct):
    """One run of a task's function."""

    start: Event
    end: Event | None = None
    last: float = 0.0  # monotonic: its last sign of life

    @property
    def job(self) -> str:
        return str(self.start["job"])

    @property
    def attempt(self) -> int:
        return int(self.start["attempt"])


class Report(msgspec.Struct):
    """What the checker found."""

    problems: list[str]
    counts: Counter[str]
    repeats: Counter[str]  # bodies run again, by how far they had come and why

    def text(self, title: str) -> str:
        lines = [f"chaos: {title}"]
        for group in ("deeds", "jobs", "other"):
            found = {name.partition(": ")[2]: n for name, n in self.counts.items() if name.startswith(f"{group}: ")}
            lines.append(f"  {group}: " + ", ".join(f"{name} {n}" for name, n in sorted(found.items())))
        lines.append(f"  bodies run again: {sum(self.repeats.values())}")
        lines += [f"    {n:4} {why}" for why, n in sorted(self.repeats.items())]
        lines += [f"  PROBLEM {problem}" for problem in self.problems[:40]]
        lines.append(f"  {len(self.problems) or 'no'} broken promises")
        return "\n".join(lines)


class Checker:
    """``events`` in the order of the monotonic clock; ``fences``: by the pid of a worker, how often it ended its
    executors because its lease could not be renewed."""

    def __init__(
        self,
        events: Sequence[Event],
        jobs: Mapping[str, JobView],
        attempts: Mapping[str, Sequence[Attempt]],
        fences: Mapping[int, int],
        clock: int = CLOCK,
        forgetful: bool = False,
    ) -> None:
        """``clock``: µs that the store's clock may differ from the host's, for who writes to the log. ``forgetful``:
        a server that is killed may forget which short jobs it had just given out."""
        self.events = events
        self.jobs = jobs
        self.attempts = attempts
        self.fences = fences
        self.clock = clock
        self.forgetful = forgetful
        self.of: dict[str, list[Event]] = defaultdict(list)  # by what
        for event in events:
            self.of[event.what].append(event)
        self.bodies: dict[str, list[Body]] = defaultdict(list)  # by job, in the order of their starts
        self._gather_bodies()
        self._killed = {event["victim"]: event for event in reversed(self.of["kill"])}
        self._dying = {event.pid: event for event in reversed(self.of["dying"])}
        self._cold = {event["worker"]: event for event in reversed(self.of["cold"])}
        self._ice = self._frozen_spans()
        self._signalled = {event["job"]: event for event in self.of["cancel"] if event["verdict"] == "signalled"}
        self.repeats: Counter[str] = Counter()

    def report(self) -> Report:
        problems = [
            *self._not_kept(),
            *self._twice_in_the_store(),
            *self._wrong_ends(),
            *self._early(),
            *self._wrong_histories(),
            *self._unexplained(),
            *self._overlaps(),
            *self._at_most_once(),
            *self._effects(),
            *self._cancelled_and_run(),
            *self._moved_and_early(),
        ]
        counts = Counter(f"jobs: {job.state.name.lower()}" for job in self.jobs.values())
        counts |= Counter(f"deeds: {event.what}" for event in self.events if event.what in _DEEDS)
        counts |= Counter(f"deeds: kill {event['role']}" for event in self.of["kill"])
        counts["jobs: acknowledged"] = len(self.of["ack"])
        counts["other: bodies"] = sum(map(len, self.bodies.values()))
        counts["other: effect steps run again"] = self._steps_again
        counts["jobs: failed for having been lost too often"] = sum(map(_is_lost, self.jobs.values()))
        return Report(problems, counts, self.repeats)

    # -- reading -------------------------------------------------------------------------------------

    def _gather_bodies(self) -> None:
        latest: dict[tuple[int, str, int], Body] = {}
        for event in self.events:
            if event["job"] is None or event["attempt"] is None or event.what == "cancel":
                continue
            who = (event.pid, event["job"], event["attempt"])
            if event.what == "start":
                latest[who] = Body(event, last=event.mono)
                self.bodies[event["job"]].append(latest[who])
            elif who in latest:
                latest[who].last = event.mono
                if event.what == "end":
                    latest[who].end = event

    def _frozen_spans(self) -> dict[int, list[tuple[float, float]]]:
        """From when until when processes were stopped, by pid."""
        spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for event in self.of["freeze"]:
            ends = [
                thaw.mono for thaw in self.of["thaw"] if thaw["worker"] == event["worker"] and thaw.mono > event.mono
            ]
            for pid in event["victims"]:
                spans[pid].append((event.mono, min(ends, default=FOREVER)))
        return spans

    def _was_frozen(self, body: Body, until: float = FOREVER) -> bool:
        """It began before its process, or that one's supervisor, was thawed; so it may be late and not know it."""
        last = min(max(body.last, body.start.mono), until)
        return any(
            begin <= max(last, until if until < FOREVER else last) and body.start.mono <= end
            for pid in (body.start.pid, body.start["parent"])
            for begin, end in self._ice.get(pid, ())
        )

    # -- what is in the store ------------------------------------------------------------------------

    def _not_kept(self) -> Iterator[str]:
        for event in self.of["ack"]:
            if event["job"] not in self.jobs:
                yield f"job {event['job']} ({event['task']}) was acknowledged and is not in the store"

    def _twice_in_the_store(self) -> Iterator[str]:
        seen: dict[str, str] = {}
        for job in self.jobs.values():
            other = seen.setdefault(_serial(job), job.id)
            if other != job.id:
                yield f"one call, {_serial(job)}, made two jobs, {other} and {job.id}"

    def _wrong_ends(self) -> Iterator[str]:
        asked = {event["job"] for event in self.of["cancel"] if event["verdict"] in ("prevented", "signalled")}
        for job in self.jobs.values():
            wrong = _wrong_end(job, job.id in asked)
            if wrong:
                yield f"job {job.id} ({job.task}): {wrong}"

    def _wrong_histories(self) -> Iterator[str]:
        for job in self.jobs.values():
            history = self.attempts[job.id]
            numbers = [attempt.attempt for attempt in history]
            outcomes = [attempt.outcome for attempt in history]
            what = f"job {job.id} ({job.task}): its history {list(zip(numbers, outcomes, strict=True))}"
            if numbers != sorted(set(numbers)):
                yield f"{what} does not count upwards"
            if outcomes.count("retry") != job.retries:
                yield f"{what} has not its {job.retries} retries"
            if not job.lost - 1 <= outcomes.count("lost") <= job.lost:
                yield f"{what} has not its {job.lost} losses"
            for attempt in history:
                yield from self._wrong_attempt(job, attempt, what)

    def _wrong_attempt(self, job: JobView, attempt: Attempt, what: str) -> Iterator[str]:
        if attempt.outcome not in _BY_THE_TASK or _is_lost(job):
            return
        body = self._settling(job.id, attempt.attempt)
        if body is None or body.end is None:
            yield f"{what}: attempt {attempt.attempt} is {attempt.outcome}, and no body of it came to its end"
        elif attempt.started is None or attempt.finished is None:
            yield f"{what}: attempt {attempt.attempt} has no times"
        elif attempt.started > body.start.at + self.clock or attempt.finished < body.end.at - self.clock:
            yield f"{what}: attempt {attempt.attempt} ran outside of its times"

    # -- when bodies ran -----------------------------------------------------------------------------

    def _early(self) -> Iterator[str]:
        moved = {event["job"] for event in self.of["move"]}
        asked = {event["job"]: event["not_before"] for event in self.of["ack"]}
        for bodies in self.bodies.values():
            for body in bodies:
                if body.start.at < body.start["due"]:
                    yield f"job {body.job} started {body.start['due'] - body.start.at} µs before its due"
            first = bodies[0]
            if first.job not in moved and first.start.at < asked.get(first.job, 0):
                yield f"job {first.job} started before the time it was called for"

    def _settling(self, job: str, attempt: int) -> Body | None:
        """The body that an attempt of the history stands for: the last with its number."""
        found = [body for body in self.bodies.get(job, ()) if body.attempt == attempt]
        return found[-1] if found else None

    def _unexplained(self) -> Iterator[str]:
        for id_, bodies in self.bodies.items():
            job = self.jobs.get(id_)
            if job is None:
                yield f"job {id_} ran and is not in the store"
                continue
            settled = [
                self._settling(id_, attempt.attempt)
                for attempt in self.attempts[id_]
                if attempt.outcome in _BY_THE_TASK and not (_is_lost(job) and attempt.outcome == "failed")
            ]
            for i, body in enumerate(bodies):
                if any(body is other for other in settled):
                    continue
                until = bodies[i + 1].start.mono if i + 1 < len(bodies) else FOREVER
                yield from self._explain(job, body, until)

    def _explain(self, job: JobView, body: Body, until: float) -> Iterator[str]:
        cause = self._cause(body, until)
        if cause is None:
            yield (
                f"job {job.id} ({job.task}): attempt {body.attempt} in process {body.start.pid} did not count, "
                f"and nothing was done to it; history {[a.outcome for a in self.attempts[job.id]]}"
            )
        elif until < FOREVER:
            far = "cut short" if body.end is None else "finished and not yet settled"
            pool = "once" if job.flags & Flag.AT_MOST_ONCE else "short" if job.task.endswith("noop") else "longer"
            self.repeats[f"{far} ({pool}): {cause}"] += 1

    def _cause(self, body: Body, until: float) -> str | None:
        """What was done to the process of a body before ``until``."""
        pid, parent = body.start.pid, body.start["parent"]
        if self._killed_together(pid, parent, until):
            return "executor and supervisor killed"
        for found, who, why in (
            (self._killed, pid, "executor killed"),
            (self._dying, pid, "a task took the executor with it"),
            (self._killed, parent, "supervisor killed"),
            (self._cold, parent, "stopped cold"),
        ):
            if who in found and found[who].mono <= until:
                return why
        if self._was_frozen(body, until):
            return "frozen"
        for id_, event in self._signalled.items():
            if event.mono <= until and any(other.start.pid == pid for other in self.bodies.get(id_, ())):
                return "cancelled, or beside a job that was"
        if self.fences.get(parent):
            return "lease not renewed in time"
        if self.forgetful and self._server_was_killed(body, until):
            return "server killed"
        return None

    def _server_was_killed(self, body: Body, until: float) -> bool:
        """Before what ended with, or at most FLUSHED after, this body can have been settled."""
        return any(
            event["how"] == "killed" and body.start.mono - FLUSHED <= event.mono <= min(until, body.last + FLUSHED)
            for event in self.of["server"]
        )

    def _killed_together(self, pid: int, parent: int, until: float) -> bool:
        """Before the supervisor can have settled what the executor had ended."""
        one, other = self._killed.get(pid), self._killed.get(parent)
        return one is not None and other is not None and other.mono - one.mono < 0.5 and one.mono <= until

    def _overlaps(self) -> Iterator[str]:
        groups = dict(self.bodies)
        for bodies in self.bodies.values():
            for body in bodies:
                if str(body.start["key"]).startswith("solo"):
                    groups.setdefault(body.start["key"], []).append(body)
        for name, bodies in groups.items():
            bodies = sorted(bodies, key=lambda body: body.start.mono)
            latest = bodies[0]
            for body in bodies[1:]:
                if latest.last > body.start.mono and not (self._was_frozen(latest) or self._was_frozen(body)):
                    yield (
                        f"{name}: two bodies at once, attempt {latest.attempt} in process {latest.start.pid} and "
                        f"attempt {body.attempt} in {body.start.pid}, for {latest.last - body.start.mono:.3f} s"
                    )
                if body.last > latest.last:
                    latest = body

    # -- special promises ----------------------------------------------------------------------------

    def _at_most_once(self) -> Iterator[str]:
        for id_, bodies in self.bodies.items():
            job = self.jobs.get(id_)
            if job is not None and job.flags & Flag.AT_MOST_ONCE and len(bodies) > 1:
                yield f"job {id_} ({job.task}) is at-most-once and began {len(bodies)} times"

    def _effects(self) -> Iterator[str]:
        self._steps_again = 0
        steps: dict[tuple[str, str], list[Event]] = defaultdict(list)
        recorded: dict[tuple[str, str], list[Event]] = defaultdict(list)
        for event in self.of["step"]:
            steps[event["job"], event["key"]].append(event)
        for event in self.of["recorded"]:
            recorded[event["job"], event["key"]].append(event)
        for place, found in recorded.items():
            values = {event["value"] for event in found}
            if len(values) > 1:
                yield f"step {place} gave {len(values)} different values"
            if not values <= {event["value"] for event in steps[place]}:
                yield f"step {place} gave a value that it never made"
            late = [event for event in steps[place] if event.mono > found[0].mono]
            if late and not any(self._was_frozen(body) for body in self.bodies[place[0]]):
                yield f"step {place} was done again after it was recorded"
        self._steps_again = sum(len(found) - 1 for found in steps.values())

    def _cancelled_and_run(self) -> Iterator[str]:
        for event in self.of["cancel"]:
            after = [body for body in self.bodies.get(event["job"], ()) if body.start.mono > event.mono]
            if event["verdict"] == "prevented" and after:
                yield f"job {event['job']} was cancelled before it began, and began"
            if event["verdict"] == "signalled" and any(body.attempt > event["attempt"] for body in after):
                yield f"job {event['job']} was asked to cancel in attempt {event['attempt']}, and came back"

    def _moved_and_early(self) -> Iterator[str]:
        for event in self.of["move"]:
            if event["verdict"] != "moved":
                continue
            others = [other.mono for other in self.of["move"] if other["job"] == event["job"]]
            until = min((mono for mono in others if mono > event.mono), default=FOREVER)
            after = [b for b in self.bodies.get(event["job"], ()) if event.mono < b.start.mono < until]
            if after and after[0].start.at < event["due"]:
                yield f"job {event['job']} was moved and started before its new due"


_DEEDS = {"freeze", "warm", "cold", "locked", "cancel", "move", "unlink", "server"}


def _serial(job: JobView) -> str:
    return str(json.loads(job.args)[0][0])


def _is_lost(job: JobView) -> bool:
    return job.state == State.FAILED and _error(job) == "WorkerLost"


def _error(job: JobView) -> str | None:
    return None if job.error is None else json.loads(job.error).get("type")


def _wrong_end(job: JobView, cancelled: bool) -> str | None:
    """What is wrong with how a job ended; None if nothing is."""
    name, args = job.task.rpartition(".")[2], json.loads(job.args)[0]
    if job.state == State.SUCCEEDED:
        if name == "boom":
            return "succeeded, and raises"
        if json.loads(job.result or b"null") != answer(args[0]):
            return f"its result is {job.result!r}"
        if name == "again" and job.retries != args[1]:
            return f"retried {job.retries} times instead of {args[1]}"
        return None
    if job.state == State.FAILED:
        lost = _error(job) == "WorkerLost" and job.lost == 3
        return None if lost or (name == "boom" and _error(job) == "ValueError") else f"failed: {job.error!r}"
    if job.state == State.CANCELLED:
        replaced = job.key is not None and job.key.startswith("turn")
        return None if cancelled or replaced else "is cancelled, and nobody asked for it"
    if job.state == State.UNCERTAIN:
        return None if name == "once" and job.lost == 1 else f"is uncertain, lost {job.lost} times"
    return f"is {job.state.name.lower()}"
