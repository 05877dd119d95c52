"""Every benchmark in turn, then duly's figures beside what they are meant to be."""

from __future__ import annotations

import argparse

from bench import beside, drain, enqueue, fairness, kit, latency, lateness, memory, recovery, roundtrip
from bench.aims import Aim, below, least, none, print_aim
from bench.sides import SQLITE
from bench.tables import machine

PROGRAMS = tuple(
    module.PROGRAM for module in (drain, roundtrip, enqueue, latency, lateness, memory, recovery, beside, fairness)
)


AIMS = (
    Aim("drain", "drain, at least 40,000/s", least(40_000), "rate", "/s"),
    Aim("drain", "drain, at least 15 x Celery on Redis", least(15), "rate", "x", "celery-redis"),
    Aim("roundtrip", "with results stored, at least 25,000/s", least(25_000), "rate", "/s"),
    Aim("roundtrip", "results read back, at least 25,000/s", least(25_000), "read", "/s"),
    Aim("enqueue", "one by one, at least 80 % of the bare commits", least(80), "share", "%"),
    Aim("enqueue", "from 32 threads, at least 15,000/s", least(15_000), "threads", "/s"),
    Aim("enqueue", "bulk of 1,000, at least 120,000/s", least(120_000), "bulk", "/s"),
    Aim("latency", "idle latency p50, below 0.7 ms", below(0.7), "p50", "ms"),
    Aim("latency", "idle latency p99, below 2 ms", below(2), "p99", "ms"),
    Aim("lateness", "lateness p50, below 1 ms", below(1), "p50", "ms"),
    Aim("lateness", "lateness p99, below 2.3 ms", below(2.3), "p99", "ms"),
    Aim("lateness", "started early: none", none, "early", ""),
    Aim("lateness", "started twice: none", none, "duplicates", ""),
    Aim("lateness", "never started: none", none, "missing", ""),
    Aim("memory", "a million future jobs, below 5 MB more", below(5), "more", "MB"),
    Aim("recovery", "dead executor, below 0.5 s", below(0.5), "executor", "s"),
    Aim("recovery", "dead supervisor, below 1 s after restart", below(1), "supervisor", "s"),
    Aim("recovery", "dead host, below the lease of 10 s and 1 s", below(11), "host", "s"),
    Aim("beside", "nobody waits for the 60 s job: all within 1 s", below(1), "seconds", "s"),
    Aim("fairness", "beside a flood, a quiet queue's p50 below 5 ms", below(5), "flood1_p50", "ms"),
    Aim("fairness", "beside slow tasks, with a reserve, below 5 ms", below(5), "slow_p50", "ms"),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.all", description=__doc__)
    kit.add_options(parser, SQLITE)
    options = parser.parse_args()
    values = {
        program.name: kit.run(program, options.sides or SQLITE, options.reps, options.scale) for program in PROGRAMS
    }
    print("\nAims")
    for aim in AIMS:
        print_aim(aim, values[aim.program])
    print(f"\nmachine: {machine()}; everything measured is in bench/results/")


if __name__ == "__main__":
    main()
