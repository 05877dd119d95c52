"""Workers are killed while they tell: each post has to reach each person once.

A kill hits an executor or a supervisor at any moment, and now and then exactly between a provider's yes and the
record of it, which is the one moment in which a notice is sent again: then a phone gets it twice under one key, and
shows one.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from pushworld.installation import client_of, eventually, installed

WORKERS = 2
THREADS = 8
WORKER = ("-Q", "notify", "-P", "thread", "-c", str(THREADS), "--lease", "3s")


@dataclass
class Outcome:
    pairs: int
    told: int  # deliveries that are accepted
    shown: int  # (phone, key) that a phone shows
    doubled: int  # pushes that were sent twice
    kills: int
    seconds: float


def run(folder: Path, posts: int, people: int, seed: int, every: float, most: int, patience: float) -> Outcome:
    """``every``: seconds between two kills, about; ``most`` of them; ``patience``: seconds until all are told."""
    rng = random.Random(seed)
    pairs, kills = posts * people, [0]
    with installed(folder, people) as (installation, google):

        def at_the_worst_moment(device: str, key: str, port: int) -> None:
            if kills[0] < most and rng.random() < 10 / pairs:
                kills[0] += kill(client_of(port))

        google.on_accept = at_the_worst_moment
        alive = [installation.worker(*WORKER) for _ in range(WORKERS)]
        begin = time.monotonic()
        with installation.asked("posts", 0, posts):
            while len(google.counts()) < pairs:
                assert time.monotonic() - begin < patience, f"{len(google.counts())} of {pairs} after {patience} s"
                time.sleep(rng.uniform(0, 2 * every))
                if kills[0] >= most:
                    continue
                victim = rng.randrange(WORKERS)
                pid = rng.choice(family(alive[victim].pid))
                kills[0] += kill(pid)
                if pid == alive[victim].pid:
                    alive[victim].wait()
                    alive[victim] = installation.worker(*WORKER)
                print(f"{time.monotonic() - begin:.0f} s: {len(google.counts()):,} of {pairs:,}, {kills[0]} kills")
        google.on_accept = None
        eventually(lambda: installation.states() == {"accepted": pairs}, 60)
        return Outcome(
            pairs=pairs,
            told=installation.states()["accepted"],
            shown=sum(len(keys) for keys in google.shown.values()),
            doubled=sum(count - 1 for count in google.counts().values()),
            kills=kills[0],
            seconds=time.monotonic() - begin,
        )


def family(pid: int) -> list[int]:
    """A worker's supervisor and what it has started."""
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [pid]


def kill(pid: int) -> bool:
    """SIGKILL; False if it was gone."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True
