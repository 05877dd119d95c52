"""The timeline as SVG: drawn here, so that it prints, needs no script, and every mark is a link with a name."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote
from zoneinfo import ZoneInfo

from markupsafe import Markup

from duly.cli import times
from duly.clock import MICROS
from duly.web.show import Shown, span
from duly.web.timeline import BINS, Item, Lane, Timeline, columns, ticks

WIDTH = 1200
MARGIN = 8  # left and right
HEAD = 22  # the name of a lane
ROW = 19  # one row of bars
MAX_ROWS = 6
DENSE = 46  # height of a lane of densities
GAP = 10  # between lanes
AXIS = 26
LEAST = 5.0  # px, the least width of a mark, so that it can be hit
LETTER = 6.0  # px, about


@dataclass(frozen=True)
class _Scale:
    start: int
    end: int

    def x(self, instant: int) -> float:
        share = (instant - self.start) / max(self.end - self.start, 1)
        return MARGIN + max(0.0, min(1.0, share)) * (WIDTH - 2 * MARGIN)


def draw(it: Timeline, shown: Shown) -> Markup:
    """The picture."""
    scale = _Scale(it.start, it.end)
    parts: list[Markup] = []
    names: list[Markup] = []  # above the line of now, which would strike through them
    y = 6
    for lane in it.lanes:
        drawn, height = _lane(lane, it, scale, y, shown)
        parts += drawn
        names.append(Markup('<text class="lane-name" x="{}" y="{}">{}</text>').format(MARGIN, y + 15, lane.name))
        y += height + GAP
    height = max(y, 40) + AXIS
    background = [*_axis(it, scale, height, shown.zone), *_clocks(it, scale, height)]
    head = Markup(
        '<svg class="timeline" viewBox="0 0 {w} {h}" role="group" xmlns="http://www.w3.org/2000/svg" '
        'aria-label="What is due, lane by lane; the table below has the same">'
    ).format(w=WIDTH, h=height)
    return head + Markup("").join([*background, *parts, *_now(it, scale, height), *names]) + Markup("</svg>")


def _axis(it: Timeline, scale: _Scale, height: int, zone: ZoneInfo) -> list[Markup]:
    lines = []
    for at, text in ticks(it.start, it.end, zone, most=9):
        x = scale.x(at)
        lines.append(
            Markup('<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{h}"/>').format(x=x, h=height - AXIS + 4)
        )
        anchor = "start" if x < 60 else "end" if x > WIDTH - 60 else "middle"
        lines.append(Markup('<text x="{:.1f}" y="{}" text-anchor="{}">{}</text>').format(x, height - 8, anchor, text))
    return lines


def _clocks(it: Timeline, scale: _Scale, height: int) -> list[Markup]:
    """A gap has no width on an axis of elapsed time, an overlap is shown as long as it is."""
    drawn = []
    for change in it.changes:
        x = scale.x(change.at)
        if change.by < 0:
            back = scale.x(change.at + change.by)
            drawn.append(
                Markup('<rect class="clocks" x="{:.1f}" y="0" width="{:.1f}" height="{}"/>').format(
                    back, max(x - back, 1), height - AXIS
                )
            )
        side = 1 if x < WIDTH - 160 else -1  # of the line, where its text has room
        drawn.append(
            Markup('<line class="clocks-line" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{h}"/>').format(
                x=x, h=height - AXIS
            )
        )
        drawn.append(
            Markup('<text x="{:.1f}" y="12" text-anchor="{}">{}</text>').format(
                x + 4 * side, "start" if side > 0 else "end", change.text
            )
        )
    return drawn


def _now(it: Timeline, scale: _Scale, height: int) -> list[Markup]:
    if not it.start <= it.now <= it.end:
        return []
    return [
        Markup('<line class="nowline" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{h}"><title>now</title></line>').format(
            x=scale.x(it.now), h=height - AXIS
        )
    ]


# -- lanes ---------------------------------------------------------------------------------------------


def _lane(lane: Lane, it: Timeline, scale: _Scale, y: int, shown: Shown) -> tuple[list[Markup], int]:
    rows = [] if lane.dense else _rows(lane.items, scale)
    body = DENSE if lane.dense else max(len(rows), 1) * ROW + 4
    top = y + HEAD
    parts = [
        Markup('<rect class="lane" x="0" y="{}" width="{}" height="{}" rx="5"/>').format(top, WIDTH, body),
        Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(WIDTH - MARGIN, y + 15, _summary(lane)),
        *_over(lane, it, scale, top, body),
    ]
    if lane.dense:
        parts += _densities(lane, it, scale, top, shown)
    else:
        for row, items in enumerate(rows):
            parts += [_bar(item, scale, top + 2 + row * ROW, shown) for item in items]
    return parts, HEAD + body


def _summary(lane: Lane) -> str:
    n = lane.total
    many = f"{round(n):,}{'+' if lane.capped else ''}" if n else "nothing more"
    approx = "about " if any(n % 1 for n in lane.planned) else ""
    slots = f"{lane.slots} slots" if lane.slots else "no live worker"
    return f"{approx}{many} due · {slots}"


def _rows(items: list[Item], scale: _Scale) -> list[list[Item]]:
    """Items in rows so that none lies on another; what does not fit into MAX_ROWS shares the last."""
    rows: list[list[Item]] = []
    ends: list[float] = []
    for item in items:
        left, width = _place(item, scale)
        row = next((i for i, end in enumerate(ends) if end <= left), None)
        if row is None:
            row = len(rows) if len(rows) < MAX_ROWS else MAX_ROWS - 1
            if row == len(rows):
                rows.append([])
                ends.append(0.0)
        rows[row].append(item)
        ends[row] = left + width + 1
    return rows


def _place(item: Item, scale: _Scale) -> tuple[float, float]:
    left = scale.x(item.at)
    return left, max(scale.x(item.at + item.length) - left, LEAST)


def _bar(item: Item, scale: _Scale, y: float, shown: Shown) -> Markup:
    left, width = _place(item, scale)
    length = f", takes about {span(item.length)}" if item.length and item.kind != "running" else ""
    name = f"{item.task}({item.text[:80]}) {shown.clock(item.at)}, {times.relative(item.at, shown.now)}{length}"
    if item.schedule:
        name += f" · schedule {item.schedule}" + (" (paused)" if item.kind == "withheld" else "")
    else:
        name += f" · {item.kind}"
    return Markup(
        '<a href="{}" aria-label="{}"><title>{}</title><rect class="bar {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" '
        'height="{}" rx="2"/>{}</a>'
    ).format(address(item, shown), name, name, item.kind, left, y, width, ROW - 3, _written_on(item, left, y, width))


def _written_on(item: Item, left: float, y: float, width: float) -> Markup:
    """The task's name on a bar that is long enough for it."""
    name = item.task.rpartition(".")[2]
    if len(name) * LETTER + 8 > width or item.kind == "withheld":
        return Markup("")
    return Markup('<text class="bar-name" x="{:.1f}" y="{:.1f}">{}</text>').format(left + 4, y + 12, name)


def address(item: Item, shown: Shown) -> str:
    """The page of what an item stands for."""
    if item.job is not None:
        return shown.job(item.job)
    return f"{shown.base}/schedule?name={quote(item.schedule or '', safe='')}"


def _densities(lane: Lane, it: Timeline, scale: _Scale, top: int, shown: Shown) -> list[Markup]:
    """A column for each stretch of time, a link into it."""
    edges = columns(it.start, it.end)
    most = max((n + m for n, m in zip(lane.stored, lane.planned, strict=True)), default=0) or 1
    parts = []
    for i in range(BINS):
        stored, planned = lane.stored[i], lane.planned[i]
        if not stored and planned < 0.5:
            continue
        x, width = scale.x(edges[i]), scale.x(edges[i + 1]) - scale.x(edges[i]) - 0.6
        tall = max((stored + planned) / most * (DENSE - 8), 2)
        low = tall * planned / (stored + planned)
        many = f"{round(stored + planned):,}{'+' if stored >= lane.cap else ''}"
        name = f"{shown.clock(edges[i])} to {shown.clock(edges[i + 1])}: {many} due"
        into = f"{shown.base}/future?from={edges[i] // MICROS}&to={-(-edges[i + 1] // MICROS)}"
        parts.append(
            Markup('<a href="{}" aria-label="{}"><title>{}</title>').format(into, name, name)
            + _column("dense", x, top + DENSE - 3 - tall, width, tall - low)
            + _column("dense planned", x, top + DENSE - 3 - low, width, low)
            + Markup("</a>")
        )
    return parts


def _column(kind: str, x: float, y: float, width: float, height: float) -> Markup:
    if height <= 0:
        return Markup("")
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
        kind, x, y, width, height
    )


def _over(lane: Lane, it: Timeline, scale: _Scale, top: int, body: int) -> list[Markup]:
    """Shade where more is due than there are slots."""
    edges = columns(it.start, it.end)
    return [
        Markup('<rect class="over" x="{:.1f}" y="{}" width="{:.1f}" height="{}"><title>{}</title></rect>').format(
            scale.x(edges[i]), top, scale.x(edges[i + 1]) - scale.x(edges[i]), body,
            f"{lane.load[i]:.1f} slots needed, {lane.slots} there",
        )
        for i in lane.over()
    ]  # fmt: skip
