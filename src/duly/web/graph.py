"""The neighbours of a job in a canvas, as SVG: what it waits for, what ends beside it, what waits for them.

A canvas is jobs and gates (``job.Gate``). A job that is held *after* a gate comes after the gate's members; a job
that is a member of gates comes before the jobs held at them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from duly.job import Filter, JobView
from duly.store.contract import Store
from duly.web.show import STATE_MARKS, Shown, short_id

SHOWN = 8  # jobs of a column; the others are counted
READ = 200  # and so many are counted

_WIDE, _HIGH, _GAP, _BETWEEN = 210, 40, 10, 90
_STATES = {"failed": "bad", "uncertain": "bad", "succeeded": "good"}


@dataclass(frozen=True)
class Column:
    """Jobs at the same distance."""

    jobs: Sequence[JobView]
    more: bool  # there are others


def neighbours(store: Store, job: JobView) -> list[Column]:
    """Three columns, before, beside (the job among them) and after; none if the job is in no canvas."""
    if job.after is None and not job.gates:
        return []
    before: list[JobView] = []
    if job.after is not None:
        before = _members(store, job.after)
    beside = {job.id: job}
    after: dict[str, JobView] = {}
    for gate, _ in job.gates:
        beside |= {one.id: one for one in _members(store, gate)}
        after |= {one.id: one for one in store.jobs(Filter(after=gate), limit=READ).jobs}
    beside.pop(job.id)
    return [_column(before), _column([job, *beside.values()]), _column(list(after.values()))]


def _members(store: Store, gate: str) -> list[JobView]:
    ids = [one.id for one in store.members(gate)[:READ]]
    found = {one.id: one for one in store.jobs(Filter(ids=tuple(ids)), limit=READ).jobs} if ids else {}
    return [found[id] for id in ids if id in found]


def _column(jobs: list[JobView]) -> Column:
    return Column(jobs[:SHOWN], len(jobs) > SHOWN)


def draw(columns: Sequence[Column], this: str, shown: Shown) -> Markup:
    """The picture; nothing for a job in no canvas."""
    if not columns:
        return Markup("")
    rows = max(len(column.jobs) + column.more for column in columns)
    height = rows * (_HIGH + _GAP)
    parts: list[Markup] = []
    for left, right in ((0, 1), (1, 2)):
        parts += [
            Markup('<path d="M{} {} C{} {} {} {} {} {}"/>').format(
                (x := _x(left) + _WIDE), a, x + _BETWEEN / 2, a, x + _BETWEEN / 2, b, _x(right), b
            )
            for a in _middles(columns[left])
            for b in _middles(columns[right])
        ]
    for at, column in enumerate(columns):
        parts += [
            _box(job, _x(at), row * (_HIGH + _GAP), job.id == this, shown) for row, job in enumerate(column.jobs)
        ]
        if column.more:
            y = len(column.jobs) * (_HIGH + _GAP) + 16
            parts.append(Markup('<text x="{}" y="{}">and others</text>').format(_x(at) + 8, y))
    head = Markup('<svg class="graph" viewBox="0 0 {} {}" role="group" aria-label="The canvas around this job">')
    return head.format(_x(2) + _WIDE + 2, height) + Markup("").join(parts) + Markup("</svg>")


def _x(column: int) -> int:
    return 1 + column * (_WIDE + _BETWEEN)


def _middles(column: Column) -> list[int]:
    return [row * (_HIGH + _GAP) + _HIGH // 2 for row in range(len(column.jobs))]


def _box(job: JobView, x: int, y: int, this: bool, shown: Shown) -> Markup:
    state, mine = job.state_name(shown.now), Markup(' class="this"') if this else ""
    name = job.task if len(job.task) <= 30 else f"…{job.task[-29:]}"
    return Markup(
        '<a href="{}" aria-label="{}, {}"{}><rect x="{}" y="{}" width="{}" height="{}" rx="6"/><text x="{}" y="{}">{}'
        '</text><text class="{}" x="{}" y="{}">{} {} · {}</text></a>'
    ).format(
        shown.job(job.id), job.task, state, mine, x, y + 1, _WIDE, _HIGH - 2, x + 8,
        y + 16, name, _STATES.get(state, ""), x + 8, y + 31, STATE_MARKS.get(state, ""), state, short_id(job.id),
    )  # fmt: skip
