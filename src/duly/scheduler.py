"""The scheduler: makes the jobs of recurring schedules. No leader: every worker does it, and ``duly beat`` may.

A tick looks at the schedules whose next occurrence is near, computes by their rules which occurrences there are
up to a minute ahead, and stores each as an ordinary job due at its time. So an occurrence is as punctual as any
job, and ticks need not be. Two ticks at once compute the same; the store lets one of them win (``Store.occur``).

What can go wrong: nobody ticks for more than a minute (every worker down): what was missed is made up for as the
schedule's ``catch_up`` says. A clock that is ahead of the others' by more than 40 s takes occurrences for missed
that are yet to come; ``doctor`` warns of such clocks. Once it is right
again, schedules go on from then. A rule that cannot be read (a newer release stored it) is
said once in the log and left to those who can read it.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from functools import lru_cache

import msgspec

from duly.clock import MICROS
from duly.config import did_you_mean
from duly.errors import ConfigError, StoreError
from duly.job import Advance, Flag, Job, Schedule
from duly.schedules import Rule, from_spec
from duly.store.contract import Store

log = logging.getLogger("duly.scheduler")

AHEAD = 60 * MICROS
"""Occurrences up to so far ahead of the store's clock are made."""

NEAR = 50 * MICROS
"""A schedule is looked at when its next occurrence is no further ahead than this. Less than AHEAD, so that one of
short periods is written once in some seconds and not by every worker's every tick."""

EVERY = 10 * MICROS
"""The longest time between two ticks: others may have changed the schedules."""

GRACE = 5 * MICROS
"""An occurrence whose due is longer past than this has been missed, and is a matter for ``catch_up``."""

RECHECK = 600 * MICROS
"""How often all schedules are looked at for a ``next`` that only a clock that was ahead can have written."""

_AT_ONCE = 500  # occurrences of one schedule in a tick
_MOST = 5000  # occurrences of all schedules in a tick
_COMMIT = 500  # occurrences (or schedules) in a transaction, so that nobody waits long for the write lock

_OVERLAP = {"allow": 0, "skip": int(Flag.NO_OVERLAP_SKIP), "queue": int(Flag.NO_OVERLAP_QUEUE)}


class Scheduler:
    """What ticks. Made for a store; ``tick`` it whenever it says, and at least each EVERY."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._checked = 0  # when all were last looked at; the clock may have been set back since
        self._said: set[tuple[str, int]] = set()  # (name, revision) of the broken ones

    def tick(self, names: Collection[str] | None = None) -> int | None:
        """Make what is to be made now, of all schedules or those of these names. Raises StoreError.

        Gives when there will be something to do again if nobody changes a schedule; now or earlier if there is more
        than was done at once; None if there is nothing.
        """
        now = self._store.now()
        if not self._checked <= now < self._checked + RECHECK:
            self._take_back(now)
            self._checked = now
        made, more = 0, False
        steps: list[Advance] = []
        for schedule in self._store.due_schedules(now + NEAR):
            if names is not None and schedule.name not in names:
                continue
            step = self._step(schedule, now)
            if step is None:
                continue
            made += len(step.jobs) + 1
            more = more or (step.next is not None and step.next <= now + NEAR)
            steps.append(step)
            if made >= _MOST:
                more = True
                break
        for batch in _batches(steps):
            self._store.occur(batch)
        if more:
            return now
        earliest = self._store.next_schedule()
        return None if earliest is None else max(now + EVERY, earliest - NEAR)

    def _take_back(self, now: int) -> None:
        """Schedules that are as far as a clock that was ahead has taken them go on from now."""
        steps = []
        for schedule in self._store.schedules():
            try:
                rule = rule_of(schedule.rule)
                latest = None if schedule.paused else rule.next_after(now + AHEAD)
                if latest is not None and (schedule.next is None or schedule.next > latest):
                    steps.append(Advance(seen=schedule, jobs=(), next=rule.next_after(now)))
            except Exception:  # its own tick will say so
                continue
        for batch in _batches(steps):
            self._store.occur(batch)

    def _step(self, schedule: Schedule, now: int) -> Advance | None:
        """How far to take a schedule; None if its rule is broken."""
        try:
            return advance(schedule, now)
        except Exception as exc:  # one that cannot be computed must not stop the others, whatever it is
            if (schedule.name, schedule.revision) not in self._said:
                self._said.add((schedule.name, schedule.revision))
                log.error("schedule %r makes no jobs here: %s", schedule.name, exc or type(exc).__name__)
            return None


def run(store: Store, stop: threading.Event, after_tick: Callable[[], None] = lambda: None) -> None:
    """Tick until ``stop`` is set, at least each 10 s; a store that does not answer is tried again each second."""
    scheduler, failing = Scheduler(store), False
    while not stop.is_set():
        pause = 1.0
        try:
            again = scheduler.tick()
            pause = (EVERY if again is None else min(max(again - store.now(), 0), EVERY)) / MICROS
            failing = False
        except StoreError as exc:
            if not failing:
                log.error("the store does not answer, no jobs of schedules are made: %s", exc)
            failing = True
        after_tick()
        stop.wait(pause)


def advance(schedule: Schedule, now: int) -> Advance:
    """The jobs a schedule has to make now, and its next occurrence after them. Raises ConfigError for its rule."""
    rule = rule_of(schedule.rule)
    first, missed = _skip_missed(schedule, rule, now)
    coming: list[int] = []
    if first is not None and first <= now + AHEAD:
        coming = [first, *rule.between(first, now + AHEAD, _AT_ONCE - 1)]
        first = rule.next_after(coming[-1])
    jobs = tuple((nominal, job_of(schedule, nominal)) for nominal in missed + coming)
    return Advance(seen=schedule, jobs=_by_policy(schedule, jobs, now), next=first)


def _skip_missed(schedule: Schedule, rule: Rule, now: int) -> tuple[int | None, list[int]]:
    """The first occurrence to enumerate from, and the last one before it that was surely missed, if it is wanted.

    With jitter, only what is missed even when it is due as late as it can be is jumped over here.
    """
    assert schedule.next is not None
    late = GRACE if schedule.catch_up != "all" else schedule.deadline
    if late is None or schedule.next >= now - late - schedule.jitter:
        return schedule.next, []
    start = now - late - schedule.jitter
    missed = []
    if schedule.catch_up == "last":
        missed = [max(schedule.next, rule.previous(start) or 0)]
    return rule.next_after(start - 1), missed


def _by_policy(schedule: Schedule, jobs: tuple[tuple[int, Job], ...], now: int) -> tuple[tuple[int, Job], ...]:
    """Without what is past the deadline, and with as much of what was missed as the schedule catches up on."""
    if schedule.deadline is not None:
        jobs = tuple(one for one in jobs if one[1].due >= now - schedule.deadline)
    if schedule.catch_up == "all":
        return jobs
    missed = [one for one in jobs if one[1].due < now - GRACE]
    wanted = missed[-1:] if schedule.catch_up == "last" else []
    return (*wanted, *(one for one in jobs if one[1].due >= now - GRACE))


# -- occurrences ---------------------------------------------------------------------------------


def job_of(schedule: Schedule, nominal: int) -> Job:
    """The job of an occurrence: the same one, with the same id, whoever makes it."""
    due = nominal + jitter(schedule, nominal)
    return Job(
        id=occurrence_id(schedule, nominal),
        task=schedule.task,
        due=due,
        args=schedule.args,
        queue=schedule.queue,
        priority=schedule.priority,
        expires=None if schedule.expires_after is None else due + schedule.expires_after,
        headers=schedule.headers,
        options=schedule.options,
        flags=schedule.flags | _OVERLAP[schedule.overlap],
        limit_key=schedule.limit_key,
    )


def jitter(schedule: Schedule, nominal: int) -> int:
    """µs from 0 to the schedule's jitter, drawn by lot once and for all: a hash of the name and the instant."""
    if not schedule.jitter:
        return 0
    digest = hashlib.blake2b(f"{schedule.name}\0{nominal}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") * (schedule.jitter + 1) >> 64


def occurrence_id(schedule: Schedule, nominal: int) -> str:
    """A UUIDv8 that begins like a UUIDv7 of the nominal instant; the rest is a hash.

    The schedule's revision is part of it, because a job that was withdrawn when its schedule changed is not the job
    that is made in its place.
    """
    text = f"{schedule.name}\0{schedule.revision}\0{nominal}"
    bits = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=10).digest(), "big")
    head = (max(nominal, 0) // 1000 & 0xFFFFFFFFFFFF) << 16 | 0x8000 | bits >> 64 & 0xFFF
    tail = bits & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000
    id = f"{head:016x}{tail:016x}"
    return f"{id[:8]}-{id[8:12]}-{id[12:16]}-{id[16:20]}-{id[20:]}"


@lru_cache(maxsize=4096)
def rule_of(stored: bytes) -> Rule:
    """The rule of a schedule. Raises ConfigError if it is none, or none that this release knows."""
    try:
        spec = msgspec.json.decode(stored, type=dict[str, str | int | float])
    except msgspec.MsgspecError as exc:
        raise ConfigError(f"its rule cannot be read: {exc}") from None
    return from_spec(spec)


def stored_rule(rule: Rule) -> bytes:
    """A rule as :func:`rule_of` reads it."""
    return msgspec.json.encode(rule.to_spec())


def coming(schedule: Schedule, after: int, limit: int) -> list[int]:
    """The nominal instants of the next occurrences after an instant, by the rule. Raises ConfigError."""
    rule = rule_of(schedule.rule)
    found: list[int] = []
    while len(found) < limit and (instant := rule.next_after(found[-1] if found else after)) is not None:
        found.append(instant)
    return found


# -- changes: each followed by a tick, so that what is due soon is there at once ---------------------


def declare(store: Store, owner: str, schedules: Sequence[Schedule]) -> None:
    """What the code of app ``owner`` says (see ``Store.declare_schedules``). Raises ConfigError."""
    now = store.now()
    store.declare_schedules(owner, [_from_now(schedule, now) for schedule in schedules])
    Scheduler(store).tick({schedule.name for schedule in schedules})


def put(store: Store, schedule: Schedule) -> None:
    """Store a schedule by hand (see ``Store.put_schedule``). Raises ConfigError."""
    store.put_schedule(_from_now(schedule, store.now()))
    Scheduler(store).tick({schedule.name})


def find(store: Store, name: str) -> Schedule:
    """The schedule of that name. Raises ConfigError."""
    found = store.schedules([name])
    if not found:
        names = [one.name for one in store.schedules()]
        there = (
            f"; there are {', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"
            if names
            else "; there are none"
        )
        raise ConfigError(f"no schedule {name!r}{did_you_mean(name, names) or there}")
    return found[0]


def pause(store: Store, name: str) -> None:
    """Make no more occurrences until it is resumed. Raises ConfigError for an unknown name."""
    while not store.pause_schedule(name):
        find(store, name)


def resume(store: Store, name: str) -> None:
    """Go on with the next occurrence from now; those of the time it was paused are not made. Raises ConfigError."""
    while (schedule := find(store, name)).paused:
        store.resume_schedule(schedule, rule_of(schedule.rule).next_after(store.now()))
    Scheduler(store).tick({name})


def remove(store: Store, name: str) -> None:
    """Take away a schedule that was stored by hand. Raises ConfigError, also if an app declares it."""
    while not store.remove_schedule(name):
        find(store, name)


def run_now(store: Store, name: str) -> str:
    """Make an occurrence due now, beside those of the rule and also while paused; gives the job's id.

    Raises ConfigError for an unknown name.
    """
    nominal = store.now()
    while True:
        schedule = find(store, name)
        job = job_of(msgspec.structs.replace(schedule, jitter=0), nominal)
        (stored,) = store.occur([Advance(seen=schedule, jobs=((nominal, job),), next=schedule.next)])
        if stored:
            return job.id
        if stored == 0:  # the rule has one at this very microsecond
            nominal -= 1


def _from_now(schedule: Schedule, now: int) -> Schedule:
    return msgspec.structs.replace(schedule, next=rule_of(schedule.rule).next_after(now))


def _batches(steps: Sequence[Advance]) -> list[list[Advance]]:
    """The steps in transactions of about _COMMIT occurrences."""
    batches: list[list[Advance]] = []
    size = _COMMIT
    for step in steps:
        if size >= _COMMIT:
            batches.append([])
            size = 0
        batches[-1].append(step)
        size += len(step.jobs) + 1
    return batches
