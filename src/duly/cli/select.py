"""Which jobs: ids, abbreviated ids, and the filter options that ``jobs``, ``cancel``, ``move`` and
``retry`` share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

import click
import msgspec

from duly.cli.session import Session
from duly.cli.text import clean, did_you_mean
from duly.job import STATE_NAMES, Filter, JobView
from duly.store.contract import Store

BATCH = 500  # jobs per transaction: short enough not to hold up the workers
CANDIDATES = 5  # how many ids an ambiguous abbreviation lists

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Wanted:
    """The filter options as they were typed."""

    state: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    task: str | None = None
    key: str | None = None
    due_from: str | None = None
    due_before: str | None = None

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))

    def filter(self, session: Session) -> Filter:
        """What the store is asked. Raises a usage error that quotes what cannot be read."""
        return Filter(
            states=_states(self.state) or None,
            queues=self.queue or None,
            task=self.task,
            key=self.key,
            due_from=session.instant(self.due_from, "--due-from") if self.due_from else None,
            due_before=session.instant(self.due_before, "--due-before") if self.due_before else None,
        )


def filter_options(verb: F) -> F:
    """The filter options; the verb gets them as its ``wanted``."""
    names = [one.name for one in fields(Wanted)]

    def gather(*args: Any, **options: Any) -> Any:
        wanted = Wanted(**{name: options.pop(name) for name in names})
        return verb(*args, wanted=wanted, **options)

    gather.__name__, gather.__doc__ = verb.__name__, verb.__doc__
    gather.__click_params__ = getattr(verb, "__click_params__", [])  # type: ignore[attr-defined]
    when = "Times: see 'duly --help'."
    for option in (
        click.option("--due-before", metavar="TIME", help=f"Only jobs due before this. {when}"),
        click.option("--due-from", metavar="TIME", help="Only jobs due then or later."),
        click.option("--key", metavar="KEY", help="Only the jobs of this unique key."),
        click.option("-t", "--task", metavar="GLOB", help="Only this task; * and ? stand for anything."),
        click.option("-Q", "--queue", multiple=True, metavar="QUEUE", help="Only this queue (repeatable)."),
        click.option(
            "-s",
            "--state",
            multiple=True,
            metavar="STATE",
            help=f"Only this state (repeatable): {', '.join(STATE_NAMES)}.",
        ),
    ):
        gather = option(gather)
    return gather  # type: ignore[return-value]


def _states(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in STATE_NAMES:
            hint = did_you_mean(name, STATE_NAMES) or "."
            raise click.BadParameter(
                f"no state {name!r}{hint} Known: {', '.join(STATE_NAMES)}", param_hint="'--state'"
            )
    return tuple(names)


# -- by id ---------------------------------------------------------------------------------------


def resolve(store: Store, given: Sequence[str]) -> list[str]:
    """Whole ids for ``given``, abbreviated or not, in order, each once; an unknown one stays as it is.

    Raises a usage error for an abbreviation that fits several jobs.
    """
    known = {result.id for result in store.results(given) if result is not None}
    whole = [one if one in known else _complete(store, one) for one in given]
    return list(dict.fromkeys(whole))


def _complete(store: Store, start: str) -> str:
    if not start:
        raise click.UsageError("an empty id names no job")
    found = store.jobs(Filter(id_prefix=start), limit=CANDIDATES + 1).jobs
    if len(found) < 2:
        return found[0].id if found else start
    now = store.now()
    lines = [f"  {clean(job.id)}  {job.state_name(now)}  {clean(job.task)}" for job in found[:CANDIDATES]]
    more = ["  ..."] if len(found) > CANDIDATES else []
    raise click.UsageError(f"id {start!r} fits several jobs; write more of it:\n" + "\n".join(lines + more))


def find(session: Session, given: str) -> JobView:
    """The one job of an id, abbreviated or not; leaves with status 1 when there is none."""
    [whole] = resolve(session.store, [given])
    jobs = session.store.jobs(Filter(ids=(whole,)), limit=1).jobs
    if not jobs:
        session.err.print(unknown(given), soft_wrap=True)
        session.leave(1)
    return jobs[0]


def unknown(given: str) -> str:
    return f"Error: no job {clean(given)!r} in this store: it never was here, or was forgotten or pruned."


# -- by filter -----------------------------------------------------------------------------------


@dataclass
class Selection:
    """The jobs a filter matched, and what a person should know before they are changed."""

    ids: list[str] = field(default_factory=list)
    states: Counter[str] = field(default_factory=Counter)

    def described(self) -> str:
        """``12 scheduled, 3 running``, in the order of a job's life."""
        return ", ".join(f"{self.states[name]:,} {name}" for name in STATE_NAMES if self.states[name])


def collect(store: Store, which: Filter) -> Selection:
    """Every job that matches now. What comes later is not in it: what was confirmed is what is changed."""
    selection = Selection()
    after: str | None = None
    while True:
        now = store.now()
        page = store.jobs(which, after=after, limit=BATCH)
        for job in page.jobs:
            selection.ids.append(job.id)
            selection.states[job.state_name(now)] += 1
        after = page.after
        if after is None:
            return selection


def batches(ids: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for at in range(0, len(ids), BATCH):
        yield tuple(ids[at : at + BATCH])


def narrowed(which: Filter, states: Sequence[str]) -> Filter:
    """``which``, limited to ``states`` unless it says itself which states it means."""
    return which if which.states is not None else msgspec.structs.replace(which, states=tuple(states))


def why_nothing(session: Session, which: Filter) -> str:
    """Why no job matches, as far as the store can tell."""
    if which == Filter():
        return f"No jobs in this store: {clean(session.store.url)}"
    known = [count.queue for count in session.store.counts()]
    for queue in which.queues or ():
        if queue not in known:
            hint = did_you_mean(queue, known)
            return f"No such jobs. Queue {clean(queue)!r} has no live jobs{hint or '.'}"
    if which.task is not None and not set("*?[") & set(which.task):
        tasks = _tasks_seen(session.store)
        if which.task not in tasks:
            hint = did_you_mean(which.task, tasks) or "."
            return f"No such jobs. No job or worker has task {clean(which.task)!r}{hint}"
    return "No such jobs."


def _tasks_seen(store: Store) -> set[str]:
    """The tasks of workers and of the newest jobs."""
    tasks = {task for worker in store.workers() for task in worker.tasks}
    return tasks | {job.task for job in store.jobs(Filter(), limit=BATCH).jobs}
