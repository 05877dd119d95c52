"""What people ask about jobs.

Each road to a page (by age, by when it ended, by when it is due) is walked a stretch at a time, by ``lua/scan.lua``;
what is left then is to fetch the jobs that matched.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import msgspec

from duly.job import COUNT_CAP, Attempt, Filter, GateView, JobView, Page, QueueCount, Result
from duly.messages import Rollup
from duly.store.contract import Order
from duly.store.paging import FINAL, WAITING, check_states, cursor
from duly.store.redis.packing import StateOf, attempt_of, ref_of, result_of, view_of, worker_of_attempt
from duly.store.redis.server import Server
from duly.store.redis.workers import Names

T = TypeVar("T")

Found = tuple[int, str]  # what a page is ordered by, ref

_STRETCH = 500  # jobs that one script looks at
_TOGETHER = 1000  # members of a gate that one script reads

_roll_key = msgspec.msgpack.Decoder(tuple[str, str, str, str, int]).decode


def filter_of(which: Filter) -> dict[str, object]:
    """A filter as ``lua/filter.lua`` takes it; its ids are not in it."""
    wanted: dict[str, object] = {
        "prefix": which.id_prefix,
        "task": which.task,
        "due_from": which.due_from,
        "due_before": which.due_before,
        "key": which.key,
        "after": which.after,
    }
    if which.states is not None:
        wanted["states"] = dict.fromkeys(which.states, True)
    if which.queues is not None:
        wanted["queues"] = dict.fromkeys(which.queues, True)
    return {name: value for name, value in wanted.items() if value is not None}


# -- pages ---------------------------------------------------------------------------------------


def page(server: Server, names: Names, which: Filter, order: Order, after: str | None, limit: int) -> Page:
    check_states(which)
    start = cursor(after)
    found = _first(server, which, order, start, limit)
    refs = [ref for _, ref in found]
    last = f"{found[-1][0]}.{int(found[-1][1])}" if len(found) == limit and found else None
    return Page(_views(server, names, refs, which), last)


def _first(server: Server, which: Filter, order: Order, start: tuple[int, int] | None, limit: int) -> list[Found]:
    """The first so many that match, beyond ``start``, by the cheapest road."""
    states = set(which.states or ())
    few = _few(server, which, states)
    if few is not None:
        return _sorted(few, order, start, limit)
    if order == "due" and not (states and states <= WAITING):  # no index has them all
        matching = ((due, ref) for _, ref, due in _walk(server, "age", which, None))
        return _sorted(matching, order, start, limit)
    kind = "due" if order == "due" else "done" if states and states <= FINAL.keys() else "age"
    return list(islice(((value, ref) for value, ref, _ in _walk(server, kind, which, start)), limit))


def refs_of(server: Server, which: Filter) -> list[str]:
    """Every job that matches, each once."""
    states = set(which.states or ())
    few = _few(server, which, states)
    if few is not None:
        return [ref for _, ref in few]
    kind = "due" if states and states <= WAITING else "done" if states and states <= FINAL.keys() else "age"
    return list(dict.fromkeys(ref for _, ref, _ in _walk(server, kind, which, None)))


def _walk(server: Server, kind: str, which: Filter, start: tuple[int, int] | None) -> Iterator[tuple[int, str, int]]:
    """What the road is ordered by, ref and due of each that matches, beyond ``start``."""
    value, ref = (False, "") if start is None else (start[0], ref_of(start[1]))
    states = [FINAL[name] for name in which.states or () if name in FINAL]
    queues = None if which.queues is None else list(which.queues)
    while True:
        found, value, last, at_end = server.call("scan", kind, filter_of(which), value, ref, _STRETCH, states, queues)
        for i in range(0, len(found), 3):
            yield found[i], found[i + 1].decode(), found[i + 2]
        if at_end:
            return
        ref = last.decode()


def _few(server: Server, which: Filter, states: set[str]) -> list[Found] | None:
    """(due, ref) of all that match, where they can only be few: named, running, or after one gate. None: they may be
    many."""
    wanted = filter_of(which)
    if which.ids is not None:
        parts = [server.call("match", "ids", wanted, some) for some in batches(iter(which.ids), _STRETCH)]
    elif which.after is not None or states == {"running"}:
        parts = [server.call("match", "running" if which.after is None else "after", wanted)]
    else:
        return None
    return list({(found[i + 1], found[i].decode()): None for (found,) in parts for i in range(0, len(found), 2)})


def _sorted(matching: Iterable[Found], order: Order, start: tuple[int, int] | None, limit: int) -> list[Found]:
    """Of (due, ref) the first ``limit`` beyond ``start``."""
    if order == "due":
        beyond = None if start is None else (start[0], ref_of(start[1]))
        return heapq.nsmallest(limit, (one for one in matching if beyond is None or one > beyond))
    top = None if start is None else ref_of(start[1])
    by_age = ((int(ref), ref) for _, ref in matching if top is None or ref < top)
    return heapq.nlargest(limit, by_age)


def _views(server: Server, names: Names, refs: Sequence[str], which: Filter) -> list[JobView]:
    wanted = filter_of(which)
    rows: list[tuple[bytes, bytes | None, bytes | None]] = []
    for some in batches(iter(refs), _STRETCH):
        (found,) = server.call("views", some, wanted)
        rows += [(found[i + 1], found[i + 2], found[i + 3]) for i in range(0, len(found), 4)]
    known = names.of(StateOf.read(state).worker for _, state, _ in rows)
    return [view_of(body, state, lane, known) for body, state, lane in rows]


def unanswered(server: Server, names: Names, limit: int) -> list[JobView]:
    (refs,) = server.call("unanswered", limit)
    return _views(server, names, [ref.decode() for ref in refs], Filter())


# -- one job -------------------------------------------------------------------------------------


def attempts(server: Server, names: Names, id: str) -> list[Attempt]:
    answer = server.call("history", id)
    if answer[0] is None:
        return []
    ended, state = answer[0], StateOf.read(answer[1])
    known = names.of([state.worker, *map(worker_of_attempt, ended)])
    history = [attempt_of(packed, known) for packed in ended]
    if state.started is not None:
        history.append(
            Attempt(
                attempt=state.attempt, outcome=state.state.name.lower(), worker=known.get(state.worker),
                slot=state.slot, started=state.started, finished=state.finished, error=state.error, log=state.log,
            )
        )  # fmt: skip
    return history


def effects(server: Server, id: str) -> list[tuple[str, bytes]]:
    (found,) = server.call("effects", id)
    return sorted((found[i].decode(), found[i + 1]) for i in range(0, len(found), 2))


def results(server: Server, ids: Sequence[str]) -> list[Result | None]:
    answers: list[Result | None] = []
    for some in batches(iter(ids), _STRETCH):
        (found,) = server.call("results", some)
        answers += [_result(id, one) for id, one in zip(some, found, strict=True)]
    return answers


def _result(id: str, found: list[Any] | None) -> Result | None:
    return None if found is None else result_of(id, *found)


def members(server: Server, gate: str) -> list[Result]:
    """Those of a large gate some at a time: all at once would keep the server from others for seconds."""
    (found,) = server.call("members", gate, _TOGETHER, False)
    if found and type(found[0]) is bytes:
        refs, found = [ref.decode() for ref in found], []
        for first in range(0, len(refs), _TOGETHER):
            found += server.call("members", gate, _TOGETHER, refs[first : first + _TOGETHER])[0]
    return [result_of(id.decode(), *rest) for id, *rest in found]


def gates(server: Server, ids: Sequence[str]) -> list[GateView | None]:
    (found,) = server.call("gate_views", ids)
    return [None if one is None else _gate(id, *one) for id, one in zip(ids, found, strict=True)]


def _gate(id: str, size: int, left: int, failed: int, first: bytes | None, finished: int | None) -> GateView:
    first_failed = None if first is None else first.decode()
    return GateView(id=id, size=size, left=left, failed=failed, first_failed=first_failed, finished=finished)


# -- sums ----------------------------------------------------------------------------------------


def counts(server: Server) -> list[QueueCount]:
    levels, running = server.call("counts", COUNT_CAP)
    busy = {running[i].decode(): running[i + 1] for i in range(0, len(running), 2)}
    tally: dict[str, list[int]] = {queue: [0, 0] for queue in busy}
    oldest: dict[str, int] = {}
    for name, ready, scheduled, due in levels:
        queue = name.decode()
        both = tally.setdefault(queue, [0, 0])
        both[0] += ready
        both[1] += scheduled
        if due is not None:
            oldest[queue] = min(due, oldest.get(queue, due))
    return [
        QueueCount(
            queue=queue, ready=min(ready, COUNT_CAP), scheduled=min(scheduled, COUNT_CAP),
            running=min(busy.get(queue, 0), COUNT_CAP), oldest=oldest.get(queue),
        )
        for queue, (ready, scheduled) in sorted(tally.items())
    ]  # fmt: skip


def due_counts(server: Server, edges: Sequence[int], cap: int) -> dict[str, list[int]]:
    if len(edges) < 2:
        return {}
    (found,) = server.call("due_counts", edges, cap)
    tally: dict[str, list[int]] = {}
    for i in range(0, len(found), 2):
        counted = tally.setdefault(found[i].decode(), [0] * (len(edges) - 1))
        for span, n in enumerate(found[i + 1]):
            counted[span] = min(counted[span] + n, cap)
    return {queue: counted for queue, counted in sorted(tally.items()) if any(counted)}


def rollups(server: Server, first_minute: int, end_minute: int) -> list[Rollup]:
    (minutes,) = server.call("rollups", first_minute, end_minute)
    sums: dict[tuple[int, str, str, str, str, int], list[int]] = {}
    for minute, fields in minutes:
        for i in range(0, len(fields), 2):
            entry = sums.setdefault((minute, *_roll_key(fields[i][1:])), [0, 0])
            entry[fields[i][:1] == b"t"] += int(fields[i + 1])
    return [Rollup(*key, n, total) for key, (n, total) in sorted(sums.items())]


def batches(values: Iterator[T], size: int) -> Iterator[list[T]]:
    """The values, so many at a time."""
    while some := list(islice(values, size)):
        yield some
