"""``status``: who works, on what, and how much waits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import click
from rich.text import Text

from duly.cli import times
from duly.cli.celery_flags import celery_flags
from duly.cli.look import look
from duly.cli.reach import nodes
from duly.cli.render import Look, short_ids
from duly.cli.root import Verb
from duly.cli.session import NO_WORKER, Session, pass_session
from duly.cli.table import Column, lay_out
from duly.cli.text import clean, plural
from duly.clock import MICROS
from duly.control import matches
from duly.job import COUNT_CAP, Filter, JobView, QueueCount, WorkerInfo
from duly.worker import presence

LAPSED_SHOWN = 24 * 3600 * MICROS  # a worker whose lease lapsed longer ago is history
RUNNING_READ = 1000  # running jobs looked at
RUNNING_SHOWN = 5  # of them listed under one worker


@dataclass
class Standing:
    """One worker, and the jobs it holds."""

    info: WorkerInfo
    alive: bool
    running: list[JobView] = field(default_factory=list)
    gone: bool = False  # its process ended without a word; its lease may not have lapsed yet

    @property
    def busy(self) -> int:
        """Slots in use. An executor process holds a batch of jobs, and runs one of them."""
        if self.info.pool == "process":
            return len({job.slot for job in self.running})
        return min(len(self.running), self.info.slots)


@click.command(cls=Verb)
@click.option("-d", "--destination", multiple=True, metavar="NODES", callback=nodes, help="Only these workers.")
@click.option("-j", "--json", "as_json", is_flag=True, help="One JSON object: workers and queues; times in µs UTC.")
@click.option("-w", "--watch", "live", is_flag=True, help="Refresh each second, with rates and failures; q ends.")
@celery_flags("status")
@pass_session
def status(session: Session, destination: list[str] | None, as_json: bool, live: bool) -> None:
    """Show workers and what they run, and queues. Exit status 69 if no worker is alive."""
    if live:
        if as_json:
            raise click.UsageError("--watch has no JSON form; for that: duly status --json, as often as you like")
        if destination:
            raise click.UsageError("--watch shows every worker; leave out --destination")
        from duly.cli.watch import watch

        watch(session)
        return
    store = session.store
    now = store.now()
    running = store.jobs(Filter(states=("running",)), limit=RUNNING_READ).jobs
    infos = [worker for worker in store.workers() if matches(worker, destination)]
    workers = standings(infos, running, now)
    queues = store.counts()
    alive = sum(one.alive for one in workers)
    if as_json:
        session.json(_data(workers, queues, now))
    else:
        shown = look(session)
        session.print(*worker_lines(workers, shown), Text(), *queue_lines(queues, shown))
        session.note(f"{plural(alive, 'worker')} alive. Store: {clean(store.url)}")
    if not alive:
        session.leave(NO_WORKER)


def standings(infos: Sequence[WorkerInfo], running: Sequence[JobView], now: int) -> list[Standing]:
    """The workers worth showing: those alive, then those whose process is gone or whose lease lapsed lately
    and whose place nobody of the same name has taken. One that left properly is not among them."""
    held: dict[str, list[JobView]] = defaultdict(list)
    for job in running:
        held[job.worker or ""].append(job)
    gone = {info.id for info in infos if info.expires > now - LAPSED_SHOWN and presence.is_gone(info)}
    alive = [Standing(info, True, held[_label(info)]) for info in infos if info.expires > now and info.id not in gone]
    taken = {_label(one.info) for one in alive}
    lapsed = []
    for info in infos:  # newest first
        over = info.expires <= now or info.id in gone
        if over and info.expires > now - LAPSED_SHOWN and _label(info) not in taken:
            taken.add(_label(info))
            lapsed.append(Standing(info, False, held[_label(info)], info.id in gone))
    return alive + lapsed


def _label(info: WorkerInfo) -> str:
    return f"{info.name}@{info.host}"


def _end(one: Standing) -> str:
    return "dead" if one.gone else "lapsed"


def worker_lines(workers: Sequence[Standing], look: Look) -> list[Text]:
    """A table of the workers, and under it what they run."""
    if not workers:
        return [Text("No workers. Start one: duly -A tasks worker")]
    state, name = Column("STATE"), Column("WORKER", least=12)
    pid, pool, busy = Column("PID", right=True, rank=2), Column("POOL", rank=4), Column("BUSY", right=True)
    queues, lease, since = Column("QUEUES", least=8, rank=3), Column("LEASE", rank=1), Column("UP", rank=5)
    for one in workers:
        info = one.info
        state.cells.append(Text("✓ alive", "green") if one.alive else Text(f"✗ {_end(one)}", "bold red"))
        name.cells.append(Text(clean(_label(info))))
        pid.cells.append(Text(str(info.pid)))
        pool.cells.append(Text(clean(info.pool)))
        busy.cells.append(Text(f"{one.busy}/{info.slots}"))
        queues.cells.append(Text(clean(", ".join(info.queues))))
        left = times.span(info.expires - look.now)
        lease.cells.append(Text(f"{left} left" if info.expires > look.now else f"{left} ago"))
        since.cells.append(Text(times.span(look.now - info.started)))
    lines = lay_out([state, name, pid, busy, lease, queues, pool, since], look.width)
    return [*lines, *_running_lines(workers, look)]


def _running_lines(workers: Sequence[Standing], look: Look) -> list[Text]:
    """What each worker runs, longest first."""
    columns = [Column("RUNNING ON", least=8), Column("ID"), Column("TASK", least=8, from_left=True)]
    columns.append(Column("FOR", right=True, rank=1))
    shown: list[tuple[str, JobView | None]] = []
    for one in workers:
        longest = sorted(one.running, key=lambda job: job.started or look.now)
        shown += [(_label(one.info), job) for job in longest[:RUNNING_SHOWN]]
        if len(longest) > RUNNING_SHOWN:
            shown.append((f"{_label(one.info)}: {len(longest) - RUNNING_SHOWN:,} more", None))
    if not shown:
        return []
    ids = iter(short_ids([job.id for _, job in shown if job], None if look.width is None else look.width - 60))
    for label, job in shown:
        cells = [clean(label), "", "", ""]
        if job is not None:
            length = "" if job.started is None else times.span(look.now - job.started)
            cells[1:] = [clean(next(ids)), clean(job.task), length]
        for column, cell in zip(columns, cells, strict=True):
            column.cells.append(Text(cell))
    return [Text(), *lay_out(columns, look.width)]


def queue_lines(queues: Sequence[QueueCount], look: Look) -> list[Text]:
    """A table of the queues that have live jobs."""
    if not queues:
        return [Text("No live jobs in any queue.")]
    name, ready = Column("QUEUE", least=8), Column("READY", right=True)
    scheduled, running = Column("SCHEDULED", right=True, rank=2), Column("RUNNING", right=True)
    oldest = Column("OLDEST WAITS", right=True, rank=1)
    for one in queues:
        name.cells.append(Text(clean(one.queue)))
        ready.cells.append(Text(capped(one.ready)))
        scheduled.cells.append(Text(capped(one.scheduled)))
        running.cells.append(Text(capped(one.running)))
        oldest.cells.append(Text("" if one.oldest is None else times.span(max(0, look.now - one.oldest))))
    return lay_out([name, ready, scheduled, running, oldest], look.width)


def capped(count: int) -> str:
    """A count for people: the store stops counting at ``COUNT_CAP``."""
    return f"{COUNT_CAP:,}+" if count >= COUNT_CAP else f"{count:,}"


def _data(workers: Sequence[Standing], queues: Sequence[QueueCount], now: int) -> dict[str, Any]:
    return {
        "now": now,
        "workers": [
            {
                "id": one.info.id,
                "name": one.info.name,
                "host": one.info.host,
                "pid": one.info.pid,
                "alive": one.alive,
                "gone": one.gone,
                "busy": one.busy,
                "lease_expires": one.info.expires,
                "started": one.info.started,
                "queues": one.info.queues,
                "pool": one.info.pool,
                "slots": one.info.slots,
                "tasks": one.info.tasks,
                "version": one.info.version,
                "running": [
                    {"id": job.id, "task": job.task, "slot": job.slot, "started": job.started} for job in one.running
                ],
            }
            for one in workers
        ],
        "queues": [
            {
                "queue": one.queue,
                "ready": one.ready,
                "scheduled": one.scheduled,
                "running": one.running,
                "oldest": one.oldest,
            }
            for one in queues
        ],
    }
