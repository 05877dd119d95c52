"""What differs between the libraries. Each module is a ``bench.kit.Side`` and is imported by the measuring
process and by the worker alike, with ``BENCH_FOLDER`` (marks, databases) in the environment, and ``BENCH_REDIS`` or
``BENCH_POSTGRES`` where there is such a server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One side: a library, on a server or on none."""

    module: str  # of bench.sides
    library: str  # what has to be installed
    server: str = ""  # "redis", "postgres" or none
    folder: str = ".bench"  # of its environment, in the repository


SMALL = {"rq-redis": 2_000, "oban-postgres": 5_000, "procrastinate-postgres": 3_000}
"""Jobs for those so slow that more would only take time."""


def jobs(side: str, duly: int, peers: int) -> int:
    """How many jobs a side is measured with: a peer with as many as it does in a few seconds."""
    return duly if side.startswith("duly") else min(peers, SMALL.get(side, peers))


SQLITE = ("duly", "celery-redis", "huey-redis", "huey-sqlite")
"""What ``make bench`` compares: duly as it comes, and who else starts small."""

STORES = (
    *("duly-redis", "celery-redis", "dramatiq-redis", "huey-redis", "rq-redis", "saq-redis", "taskiq-redis"),
    *("duly-postgres", "oban-postgres", "pgqueuer-postgres", "procrastinate-postgres"),
)
"""What ``python -m bench.stores`` compares: server by server."""

NO_RESULTS = {"oban-postgres", "pgqueuer-postgres", "procrastinate-postgres"}

KINDS = {
    "duly": Kind("duly_side", "duly"),
    "duly-redis": Kind("duly_side", "duly", "redis"),
    "duly-postgres": Kind("duly_side", "duly", "postgres"),
    "celery-redis": Kind("celery_side", "celery", "redis"),
    "dramatiq-redis": Kind("dramatiq_side", "dramatiq", "redis"),
    "huey-redis": Kind("huey_side", "huey", "redis"),
    "huey-sqlite": Kind("huey_side", "huey"),
    "rq-redis": Kind("rq_side", "rq", "redis"),
    "saq-redis": Kind("saq_side", "saq", "redis", ".bench-saq"),  # wants an older redis-py than the others
    "taskiq-redis": Kind("taskiq_side", "taskiq", "redis"),
    "oban-postgres": Kind("oban_side", "oban", "postgres", ".bench-oban"),  # wants Python 3.12
    "pgqueuer-postgres": Kind("pgqueuer_side", "pgqueuer", "postgres"),
    "procrastinate-postgres": Kind("procrastinate_side", "procrastinate", "postgres"),
}
