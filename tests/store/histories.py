"""Random histories of a store against the model (duly.testing.machine), in a process of their own.

    python -m tests.store.histories URL --examples 60          # the same ones whenever this tree is tried
    python -m tests.store.histories URL --examples 5000 --deep # new and longer ones; a seed is printed

A process of their own, because hypothesis mixes the constants of all local modules that are loaded into what it
draws: "derandomized" in a worker of pytest-xdist, the examples depend on the tests that this worker ran before. One
failure is looked into, for five minutes at most (hypothesis' limit for shrinking): who waits has to wait longer.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

import duly.store
from duly.store import Store
from duly.testing.clock import ManualClock
from duly.testing.machine import StoreMachine

LONGEST = 400  # seconds: some to run, 300 to shrink

Make = Callable[[ManualClock], Store]


def agree(url: str, examples: int) -> None:
    """The store at ``url`` answers as the model does; for the tests."""
    command = [sys.executable, "-m", "tests.store.histories", url, "--examples", str(examples)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, done.stdout


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("url")
    options.add_argument("--examples", type=int, default=60)
    options.add_argument("--deep", action="store_true", help="new examples each time")
    options.add_argument("--seed", type=int, help="those of an earlier deep run")
    args = options.parse_args()
    run(args.url, args.examples, args.deep or args.seed is not None, args.seed)


def run(url: str, examples: int, deep: bool = False, number: int | None = None) -> None:
    make = _maker(url)

    class Machine(StoreMachine):
        def make_store(self, clock: ManualClock) -> Store:
            return make(clock)

    machine: type[StoreMachine] = Machine
    if deep:
        number = random.randrange(1 << 32) if number is None else number
        print(f"seed {number}", flush=True)
        machine = seed(number)(Machine)  # type: ignore[arg-type,assignment]
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            derandomize=not deep,
            max_examples=examples,
            stateful_step_count=80 if deep else 50,
            phases=(Phase.generate, Phase.shrink),  # not explain: it traces every line, and takes minutes
            report_multiple_bugs=False,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def _maker(url: str) -> Make:
    """What makes a new, empty store for each history."""
    if url.startswith("postgresql:"):
        return _in_one_schema(url)
    if url.startswith("redis:"):
        prefixes = (f"histories{os.getpid()}-{n}" for n in itertools.count())
        return lambda clock: duly.store.open(f"{url}?prefix={next(prefixes)}", clock=clock)
    return lambda clock: duly.store.open(url, clock=clock)


def _in_one_schema(url: str) -> Make:
    """The same schema each time, emptied: making one takes longer than a history."""
    place, _, schema = url.partition("?schema=")

    def make(clock: ManualClock) -> Store:
        store = duly.store.open(url, clock=clock)
        store.migrate()
        with psycopg.connect(place, autocommit=True) as admin:
            named = "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = %s"
            tables = [table for (table,) in admin.execute(named, (schema,)) if not table.endswith(".meta")]
            admin.execute(f"TRUNCATE {', '.join(tables)} RESTART IDENTITY".encode())
            admin.execute(f"UPDATE {schema}.meta SET rules = 0, revision = 0".encode())
        return store

    return make


if __name__ == "__main__":
    main()
