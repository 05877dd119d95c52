"""Ten processes tick at once, their clocks set apart, and are killed at random: each occurrence is made once.

Time runs fast in them: a shared clock at SPEED times the real one, plus a skew of each process's own. It goes through
the night in which Paris puts its clocks forward.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

import duly.store
from duly import scheduler
from duly.clock import MICROS, to_micros
from duly.job import Filter, Schedule
from duly.scheduler import Scheduler, rule_of, stored_rule
from duly.schedules import Rule, cron, crontab, every, rrule
from duly.store import Store

SPEED = 900
BEGIN = to_micros(datetime(2027, 3, 28, 0, 30, tzinfo=UTC), UTC)  # half an hour before the change
TICKERS = 10
SECONDS = 8.0  # real ones: two hours of theirs
RULES: dict[str, Rule] = {
    "fast": every(3),
    "slow": every(47),
    "minutely": crontab(tz="Europe/Paris"),
    "gap": cron("30 2 * * *", tz="Europe/Paris"),
    "quarters": cron("*/15 * * * *", tz="Europe/Paris"),
    "calendar": rrule("FREQ=MINUTELY;INTERVAL=7", "2027-03-01T00:00", tz="Europe/Paris"),
}


class FastClock:
    """Real time from ``started``, SPEED times as fast, and wrong by ``skew`` µs."""

    def __init__(self, started: float, skew: int = 0) -> None:
        self.started = started
        self.skew = skew

    def now(self) -> int:
        return BEGIN + self.skew + int((time.monotonic() - self.started) * SPEED * MICROS)

    def monotonic(self) -> float:
        return time.monotonic()


def tick_for_ever(url: str, clock: FastClock) -> int:
    """Fork a process that does nothing but tick; gives its pid."""
    pid = os.fork()
    if pid == 0:
        try:
            ticker = Scheduler(duly.store.open(url, clock=clock))
            while True:
                ticker.tick()
        finally:
            os._exit(1)
    return pid


def occurrences(store: Store, name: str) -> list[int]:
    """The nominal instants for which there are jobs, one entry a job."""
    dues: list[int] = []
    after = None
    while True:
        page = store.jobs(Filter(task=name), after=after, limit=1000)
        dues += [job.due for job in page.jobs]
        after = page.after
        if after is None:
            return sorted(dues)


@pytest.mark.parametrize("skew", [0, 30], ids=["clocks agree", "clocks up to 30 s apart"])
def test_each_occurrence_is_made_once_by_ten_tickers_killed_at_random(tmp_path: Path, skew: int) -> None:
    rng = random.Random(skew)
    url = f"sqlite:///{tmp_path}/jobs.db?synchronous=NORMAL"
    started = time.monotonic()
    store = duly.store.open(url, clock=FastClock(started))
    scheduler.declare(
        store, "app", [Schedule(name=n, rule=stored_rule(r), task=n, catch_up="all") for n, r in RULES.items()]
    )
    first = {one.name: store.occurrences(one.name, 10_000)[-1:] for one in store.schedules()}
    begin = {name: made[0].nominal if made else store.schedules([name])[0].next for name, made in first.items()}
    store.close()

    def ticker() -> int:
        return tick_for_ever(url, FastClock(started, rng.randint(-skew, skew) * MICROS))

    pids = [ticker() for _ in range(TICKERS)]
    kills = 0
    try:
        while time.monotonic() < started + SECONDS or kills <= 50:  # slow machines take longer
            victim = rng.randrange(TICKERS)
            os.kill(pids[victim], signal.SIGKILL)
            os.waitpid(pids[victim], 0)
            kills += 1
            pids[victim] = ticker()
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)

    wanted, got, twice = 0, 0, 0
    for one in store.schedules():
        assert one.next is not None
        expected = [begin[one.name], *rule_of(one.rule).between(begin[one.name] or 0, one.next - 1, 100_000)]
        expected = [nominal for nominal in expected if nominal is not None and nominal < one.next]
        made = occurrences(store, one.name)
        wanted, got = wanted + len(expected), got + len(made)
        twice += sum(n - 1 for n in Counter(made).values())
        assert made == expected, one.name
    print(f"\n{TICKERS} tickers, skew {skew} s, {kills} kills: {wanted} expected, {got} made, {twice} twice")
    assert got > 2000
    store.close()
