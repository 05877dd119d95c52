"""A storm: a world whose workers are killed, frozen, cut off and crashed at random while jobs of all kinds run.

The history checker looks for broken promises all along; at the end every job must have ended, once, and as its kind
allows. ``python tests/world/storm.py 5000`` runs as many seeds and prints what happened in them.
"""

from __future__ import annotations

import sys
from collections import Counter
from itertools import pairwise
from typing import Any

from duly.clock import MICROS
from duly.job import Filter, Limit, State
from duly.schedules import every
from duly.testing.simworker import SimWorker
from duly.testing.world import World

JOBS = 30
TURNS = 40
_DISTURBANCES = ("kill", "pause", "resume", "partition", "heal", "crash", "stop", "join", "calm", "cancel", "move")


def storm(seed: int) -> Counter[str]:
    """One storm; gives how often each kind of event happened. Raises BrokenPromise."""
    with World(seed=seed) as world:
        world.app.conf.worker_max_lost = 1_000
        _tasks(world)
        world.store.set_limit(Limit(scope="task", name="world.limited", concurrency=2))
        world.store.set_limit(Limit(scope="task", name="world.rated", rate=20, per=60 * MICROS))
        for _ in range(3):
            _join(world)
        for number in range(JOBS):
            _enqueue(world, number)
        for _ in range(TURNS):
            world.advance(world.rng.uniform(0, 8))
            _disturb(world)
            _check_limit(world)
        _calm_down(world)
        world.advance(90)  # what the schedule missed is made up for, and a minute ahead is made
        world.app.schedules.remove("world.tick")
        world.settle()
        _check_end(world)
        return Counter(event.what for event in world.history.events)


def _tasks(world: World) -> None:
    rng = world.rng

    @world.app.task(name="world.plain")
    def plain(number: int) -> int:
        return number

    @world.app.task(name="world.flaky", max_retries=None, default_retry_delay=3, bind=True)
    def flaky(self: Any, number: int) -> int:
        if rng.random() < 0.5:
            raise self.retry()
        return number

    @world.app.task(name="world.once", at_most_once=True)
    def once(number: int) -> int:
        return number

    @world.app.task(name="world.limited")
    def limited(number: int) -> int:
        return number

    @world.app.task(name="world.rated")
    def rated(number: int) -> int:
        return number

    @world.app.task(name="world.tick")
    def tick() -> None: ...

    world.app.schedules.add("world.tick", tick, every(20), catch_up="all")
    for name in world.app.tasks:
        world.takes(name, lambda random: random.choice([0, 0.01, 1, 5, 40]))


def _enqueue(world: World, number: int) -> None:
    task = world.app.tasks[world.rng.choice([name for name in sorted(world.app.tasks) if name != "world.tick"])]
    key = f"key{world.rng.randrange(5)}" if world.rng.random() < 0.2 else None
    task.apply_async((number,), countdown=world.rng.uniform(0, 100), priority=world.rng.randrange(10), key=key)


def _disturb(world: World) -> None:
    what = world.rng.choice(_DISTURBANCES)
    alive = [worker for worker in world.workers if not worker.dead]
    if what == "join" or not alive:
        _join(world)
    elif what in ("cancel", "move"):
        _manage(world, what)
    elif what == "crash":
        world.crash(world.rng.choice(alive), world.rng.randrange(2))
    elif what != "calm":
        getattr(world, what)(world.rng.choice(alive))


def _join(world: World) -> SimWorker:
    return world.worker(concurrency=2, lease=10)


def _manage(world: World, what: str) -> None:
    job = world.rng.choice(sorted(world.states()))
    if what == "cancel":
        world.app.cancel(job)
    else:
        world.app.move(job, countdown=world.rng.uniform(0, 60))


def _check_limit(world: World) -> None:
    """Of a task with concurrency 2 never more than two runs that somebody holds a lease for."""
    running = world.store.jobs(Filter(task="world.limited", states=("running",))).jobs
    if len(running) > 2:
        raise world.history.broken(f"{len(running)} jobs of a task limited to 2 are running")


def _calm_down(world: World) -> None:
    for worker in world.workers:
        if not worker.dead:
            world.resume(worker)
            world.heal(worker)
    _join(world)


def _check_end(world: World) -> None:
    _check_rate(world)
    _check_occurrences(world)
    for job in world.store.jobs(Filter(), limit=1_000).jobs:
        allowed = {State.SUCCEEDED, State.CANCELLED}
        if job.task == "world.once":
            allowed.add(State.UNCERTAIN)
        if job.state not in allowed:
            raise world.history.broken(f"job {job.id} ({job.task}) ended {job.state.name}")


def _check_rate(world: World) -> None:
    """Starts of a task limited to 20 a minute are at least three seconds apart."""
    starts = [event.at for event in world.history.events if event.what == "started" and event.task == "world.rated"]
    for before, after in pairwise(starts):
        if after - before < 3 * MICROS:
            raise world.history.broken(f"two jobs of a task limited to 20/m started {after - before} µs apart")


def _check_occurrences(world: World) -> None:
    """Every twenty seconds from the first occurrence to the last, none left out, none twice."""
    nominals = sorted(occurrence.nominal for occurrence in world.store.occurrences("world.tick", 10_000))
    if nominals != list(range(nominals[0], nominals[-1] + 1, 20 * MICROS)):
        raise world.history.broken(f"occurrences are missing or doubled: {nominals}")


def main(seeds: int) -> None:
    total: Counter[str] = Counter()
    for seed in range(seeds):
        total += storm(seed)
    print(f"{seeds} seeds, no promise broken: " + ", ".join(f"{n} {what}" for what, n in total.most_common()))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
