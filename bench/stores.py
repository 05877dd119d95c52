"""Redis and PostgreSQL: duly beside those who live on them, by server; then what the figures are meant to be."""

from __future__ import annotations

import argparse
import os

from bench import drain, enqueue, kit, latency, lateness, memory, roundtrip, scaling
from bench.aims import Aim, below, least, none, print_aim
from bench.sides import STORES
from bench.tables import machine

PROGRAMS = tuple(module.PROGRAM for module in (drain, roundtrip, enqueue, latency, lateness, memory, scaling))

AIMS = (
    Aim("drain", "Redis: drain, at least 30,000/s", least(30_000), "rate", "/s", side="duly-redis"),
    Aim("enqueue", "Redis: one at a time, at least 12,000/s", least(12_000), "one", "/s", side="duly-redis"),
    Aim("enqueue", "Redis: bulk, at least 100,000/s", least(100_000), "bulk", "/s", side="duly-redis"),
    Aim("latency", "Redis: idle latency p50, below 0.7 ms", below(0.7), "p50", "ms", side="duly-redis"),
    Aim("latency", "Redis: idle latency p99, below 1.2 ms", below(1.2), "p99", "ms", side="duly-redis"),
    Aim("lateness", "Redis: lateness p50, below 1.1 ms", below(1.1), "p50", "ms", side="duly-redis"),
    Aim("lateness", "Redis: lateness p99, below 2.3 ms", below(2.3), "p99", "ms", side="duly-redis"),
    Aim("lateness", "Redis: started early, none", none, "early", "", side="duly-redis"),
    Aim("memory", "Redis: a million future jobs, below 5 MB more", below(5), "more", "MB", side="duly-redis"),
    Aim("drain", "PostgreSQL: drain, at least 25,000/s", least(25_000), "rate", "/s", side="duly-postgres"),
    Aim("drain", "PostgreSQL: drain, ahead of pgqueuer", least(1), "rate", "x", "pgqueuer-postgres", "duly-postgres"),
    Aim("enqueue", "PostgreSQL: one at a time, 80 % of a bare commit", least(80), "share", "%", side="duly-postgres"),
    Aim("enqueue", "PostgreSQL: bulk, at least 40,000/s", least(40_000), "bulk", "/s", side="duly-postgres"),
    Aim("latency", "PostgreSQL: idle latency p50, below 1.5 ms", below(1.5), "p50", "ms", side="duly-postgres"),
    Aim("latency", "PostgreSQL: idle latency p99, below 3 ms", below(3), "p99", "ms", side="duly-postgres"),
    Aim("lateness", "PostgreSQL: lateness p50, below 2 ms", below(2), "p50", "ms", side="duly-postgres"),
    Aim("lateness", "PostgreSQL: lateness p99, below 5 ms", below(5), "p99", "ms", side="duly-postgres"),
    Aim("lateness", "PostgreSQL: started early, none", none, "early", "", side="duly-postgres"),
    Aim("memory", "PostgreSQL: a million future jobs, below 5 MB more", below(5), "more", "MB", side="duly-postgres"),
    Aim("scaling", "Redis: two executors, at least 1.6 times one", least(1.6), "times", "x", side="duly-redis"),
    Aim(
        "scaling", "PostgreSQL: two executors, at least 1.6 times one", least(1.6), "times", "x", side="duly-postgres"
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stores", description=__doc__)
    kit.add_options(parser, STORES)
    options = parser.parse_args()
    os.environ["BENCH_PLACEMENT"] = options.placement
    sides = options.sides or STORES
    values = {program.name: kit.run(program, sides, options.reps, options.scale) for program in PROGRAMS}
    print(f"\nAims (placement: {options.placement})")
    for aim in AIMS:
        print_aim(aim, values[aim.program])
    print(f"\nmachine: {machine()}; everything measured is in bench/results/")


if __name__ == "__main__":
    main()
