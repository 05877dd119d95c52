"""Jobs as people read them: the list, and one job in full. From JobView to lines; no I/O."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import tzinfo
from typing import Any

import msgspec
from rich.text import Text

from duly.cli import times
from duly.cli.data import call_parts
from duly.cli.table import Column, lay_out
from duly.cli.text import clean, clean_lines, decode, shorten
from duly.job import STATE_NAMES, Attempt, ErrorInfo, Flag, JobView, Progress
from duly.keepsake import readable
from duly.secrecy import visible

SYMBOLS = dict(zip(STATE_NAMES, "◷⋯•↻▸✓✗⊘?", strict=True))
PLAIN_SYMBOLS = dict(zip(STATE_NAMES, "~:.^>+!-?", strict=True))  # where the terminal's encoding has no others
STYLES = {
    "scheduled": "cyan",
    "held": "cyan",
    "queued": "blue",
    "retrying": "yellow",
    "running": "bold blue",
    "succeeded": "green",
    "failed": "bold red",
    "cancelled": "dim",
    "uncertain": "bold magenta",
}
MIN_ID = 18  # of a UUIDv7 that much tells apart jobs made 250 ns apart
LIST_LIMIT = 300  # characters of arguments in a list when there is no width to fit into
SHOW_LIMIT = 2000  # characters of one value in ``show``
LABEL = 12


@dataclass(frozen=True)
class Look:
    """How to show: where and when the reader is, and how much room there is."""

    zone: tzinfo
    now: int  # µs UTC
    width: int | None  # terminal columns; None: no limit
    symbols: dict[str, str]

    def short(self, instant: int) -> str:
        return times.short(instant, self.now, self.zone)

    def both(self, instant: int) -> str:
        return f"{times.full(instant, self.zone)}  ({times.relative(instant, self.now)})"


def state_text(name: str, look: Look) -> Text:
    """Symbol and word, so that colour only adds."""
    return Text(f"{look.symbols.get(name, ' ')} {name}", style=STYLES.get(name, ""))


# -- the list ------------------------------------------------------------------------------------


def job_lines(jobs: Sequence[JobView], look: Look) -> list[Text]:
    """A table of jobs, head first."""
    ids = short_ids([job.id for job in jobs], None if look.width is None else max(MIN_ID, look.width - 110))
    state = Column("STATE")
    ident = Column("ID")
    task = Column("TASK", least=10, wish=22, from_left=True)
    due = Column("DUE")
    detail = Column("DETAIL", least=8, wish=34)
    queue = Column("QUEUE", least=7, rank=1)
    ended = Column("ENDED", rank=2)
    args = Column("ARGUMENTS", least=8, rank=0 if look.width is None or look.width >= 80 else 3)
    tries = Column("TRY", rank=4, right=True)
    worker = Column("WORKER", least=10, rank=5)
    for job, short in zip(jobs, ids, strict=True):
        state.cells.append(state_text(job.state_name(look.now), look))
        ident.cells.append(Text(clean(short)))
        task.cells.append(Text(clean(job.task)))
        due.cells.append(Text(look.short(job.due)))
        detail.cells.append(Text(detail_line(job, look)))
        queue.cells.append(Text(clean(job.queue)))
        ended.cells.append(Text("" if job.finished is None else times.relative(job.finished, look.now)))
        tries.cells.append(Text(str(job.attempt) if job.attempt > 1 else ""))
        worker.cells.append(Text(clean(job.worker or "")))
        args.cells.append(Text(shorten(arguments(visible(job)), LIST_LIMIT)))
    return lay_out([state, ident, task, due, detail, ended, queue, args, tries, worker], look.width)


def short_ids(ids: Sequence[str], room: int | None) -> list[str]:
    """Each id cut to what tells it apart from the others here, at least ``MIN_ID``; whole if there is
    room for it or no limit."""
    if room is None or room >= max(map(len, ids), default=0):
        return list(ids)
    ordered = sorted(set(ids))
    keep = dict.fromkeys(ordered, MIN_ID)
    for one, other in itertools.pairwise(ordered):
        shared = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), len(one))
        keep[one] = max(keep[one], shared + 1)
        keep[other] = max(keep[other], shared + 1)
    return [one[: keep[one]] for one in ids]


def detail_line(job: JobView, look: Look) -> str:
    """What a person asks first about a job in this state."""
    name, now = job.state_name(look.now), look.now
    if name == "scheduled":
        return times.relative(job.due, now)
    if name == "held":
        return "waits for others"
    if name == "queued":
        return f"waiting {times.span(now - job.due)}"
    if name == "retrying":
        when = times.relative(job.due, now) if job.due > now else f"waiting {times.span(now - job.due)}"
        return _joined(when, error_line(job.error))
    if name == "running":
        asked = "stopping, " if job.cancelling else ""
        held = times.span(now - job.started) if job.started is not None else "?"
        return _joined(f"{asked}for {held}", progress_line(job.progress))
    if name == "cancelled":
        error = error_of(job.error)
        return "" if error is None else shorten(clean(error.message), LIST_LIMIT)
    return error_line(job.error) if job.error is not None else took(job.started, job.finished)


def _joined(first: str, second: str, sep: str = ": ") -> str:
    return f"{first}{sep}{second}" if first and second else first or second


def took(started: int | None, finished: int | None) -> str:
    if started is None or finished is None:
        return ""
    return f"took {times.span(finished - started)}"


def arguments(args: bytes) -> str:
    """Stored arguments the way a call is written: ``4, 4, mode="fast"``; values as JSON."""
    try:
        positional, keyword = msgspec.json.decode(args, type=tuple[list[msgspec.Raw], dict[str, msgspec.Raw]])
    except msgspec.DecodeError:
        return clean(decode(args))
    parts = [decode(bytes(value)) for value in positional]
    parts += [f"{name}={decode(bytes(value))}" for name, value in keyword.items()]
    return clean(", ".join(parts))


def error_of(raw: bytes | None) -> ErrorInfo | None:
    """A stored error; one that cannot be read is shown as it is."""
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=ErrorInfo)
    except msgspec.DecodeError:
        return ErrorInfo(type="unreadable error", message=decode(raw))


def error_line(raw: bytes | None) -> str:
    error = error_of(raw)
    if error is None:
        return ""
    return shorten(clean(_joined(error.type, error.message)), LIST_LIMIT)


def progress_line(raw: bytes | None) -> str:
    """``3 of 10 (30%), reading``."""
    if raw is None:
        return ""
    try:
        progress = msgspec.json.decode(raw, type=Progress)
    except msgspec.DecodeError:
        return clean(decode(raw))
    share = f"{progress.done:g}"
    if progress.total:
        share += f" of {progress.total:g} ({progress.done / progress.total:.0%})"
    return clean(share + (f", {progress.note}" if progress.note else ""))


# -- one job -------------------------------------------------------------------------------------


def show_lines(
    job: JobView, attempts: Sequence[Attempt], beside: Sequence[tuple[str, str]], look: Look
) -> list[Text]:
    """Everything about one job; ``beside``: what comes before and after it."""
    head = Text.assemble(state_text(job.state_name(look.now), look), "  ", (clean(job.task), "bold"))
    facts = [*_identity(job), *_times(job, look), *_state_facts(job, look), *beside, *_outcome(job)]
    lines = [head, *(_fact(label, value) for label, value in facts if value)]
    for number, attempt in enumerate(attempts):
        lines += [Text("")] if number == 0 else []
        lines += _attempt(attempt, look)
    return lines


def _fact(label: str, value: str) -> Text:
    return Text.assemble((f"{label:<{LABEL}}", "dim"), value)


def _identity(job: JobView) -> list[tuple[str, str]]:
    positional, keyword = call_parts(visible(job))
    return [
        ("id", clean(job.id)),
        ("key", clean(job.key or "")),
        ("queue", clean(job.queue) + (f", priority {job.priority}" if job.priority else "")),
        ("args", value_text(positional)),
        ("kwargs", "" if keyword is None or bytes(keyword) == b"{}" else value_text(keyword)),
        ("headers", value_text(readable(job.headers))),
        ("options", value_text(job.options)),
        ("rules", ", ".join(_rules(job.flags))),
    ]


def _rules(flags: int) -> list[str]:
    rules = {Flag.AT_MOST_ONCE: "at most once", Flag.IGNORE_RESULT: "result not kept"}
    return [text for flag, text in rules.items() if flags & flag]


def _times(job: JobView, look: Look) -> list[tuple[str, str]]:
    def at(instant: int | None) -> str:
        return "" if instant is None else look.both(instant)

    late = ""
    if job.started is not None:
        late = f", {times.span(max(0, job.started - job.due))} late"
    return [
        ("created", at(job.created)),
        ("due", at(job.due)),
        ("expires", at(job.expires)),
        ("started", at(job.started) + late),
        ("finished", _joined(at(job.finished), took(job.started, job.finished), sep=", ")),
    ]


def _state_facts(job: JobView, look: Look) -> list[tuple[str, str]]:
    counts = [str(job.attempt)] if job.attempt else []
    counts += [f"{job.retries} retries asked for by the task"] if job.retries else []
    counts += [f"{job.lost} lost with a worker"] if job.lost else []
    seat = "" if job.worker is None else clean(job.worker) + ("" if job.slot is None else f", slot {job.slot}")
    return [
        ("worker", seat),
        ("attempts", ", ".join(counts)),
        ("progress", progress_line(job.progress)),
        ("note", "asked to stop" if job.cancelling else ""),
    ]


def _outcome(job: JobView) -> list[tuple[str, str]]:
    error = error_of(job.error)
    facts = [("result", value_text(job.result)), ("error", shorten(error_line(job.error), SHOW_LIMIT))]
    if error is not None and error.help:
        facts.append(("help", shorten(clean(error.help), SHOW_LIMIT)))
    return facts


def value_text(raw: Any) -> str:
    """A stored JSON value on one line, cut to ``SHOW_LIMIT``."""
    if raw is None:
        return ""
    if isinstance(raw, str):
        return shorten(clean(raw), SHOW_LIMIT)
    try:
        return shorten(clean(decode(msgspec.json.format(bytes(raw), indent=0))), SHOW_LIMIT)
    except msgspec.DecodeError:
        return shorten(clean(decode(bytes(raw))), SHOW_LIMIT)


def _attempt(attempt: Attempt, look: Look) -> list[Text]:
    name = attempt.outcome
    seat = "" if attempt.worker is None else clean(attempt.worker)
    seat += "" if attempt.slot is None else f" slot {attempt.slot}"
    start = "" if attempt.started is None else look.short(attempt.started)
    length = took(attempt.started, attempt.finished)
    if name == "running" and attempt.started is not None:
        length = f"for {times.span(look.now - attempt.started)}"
    rest = "  ".join(part for part in (start, length, seat) if part)
    head = Text.assemble((f"attempt {attempt.attempt}", "bold"), "  ")
    head.append_text(Text(f"{look.symbols.get(name, '·')} {name}", style=STYLES.get(name, "yellow")))
    return [head.append(f"  {rest}"), *_error_lines(attempt.error), *_log_lines(attempt.log)]


def _error_lines(raw: bytes | None) -> list[Text]:
    """The traceback, or the error's one line where there is none."""
    error = error_of(raw)
    if error is None:
        return []
    if error.traceback is None:
        return [Text("  " + error_line(raw), style="red")]
    return [Text("  " + line) for line in clean_lines(error.traceback)]


def _log_lines(raw: bytes | None) -> list[Text]:
    if raw is None:
        return []
    return [Text.assemble(("  log | ", "dim"), line) for line in clean_lines(decode(raw))]
