"""Recurring work: schedules and their occurrences.

What is stored is read, what is to change is decided here, and written if all of it is still as it was seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from duly.job import Advance, Occurrence, Schedule
from duly.store.owning import check_owner, check_removable, definition
from duly.store.redis.packing import Blob, job_row
from duly.store.redis.server import Server

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Schedule).decode
_record = msgspec.msgpack.Decoder().decode

Stored = dict[str, tuple[Schedule, bytes]]
"""The schedules by name, each with its record as it was read."""

Step = tuple[object, ...]


# -- looking -------------------------------------------------------------------------------------


def schedules(server: Server, names: Sequence[str] | None) -> list[Schedule]:
    wanted = None if names is None else set(names)
    return [one for name, (one, _) in sorted(_stored(server).items()) if wanted is None or name in wanted]


def due(server: Server, until: int) -> list[Schedule]:
    near = [one for one in schedules(server, None) if not one.paused and one.next is not None and one.next <= until]
    return sorted(near, key=lambda one: one.next or 0)


def next_schedule(server: Server) -> int | None:
    found = server.command("ZRANGE", f"{server.place.prefix}:ticks", "0", "0", "WITHSCORES")
    return int(float(found[1])) if found else None


def occurrences(server: Server, name: str, limit: int) -> list[Occurrence]:
    words = ("ZREVRANGE", f"{server.place.prefix}:occurrences:{name}", "0", str(limit - 1), "WITHSCORES")
    found = server.command(*words) if limit > 0 else []
    made = []
    for i in range(0, len(found), 2):
        at, _, job = found[i].decode().partition(" ")
        made.append(Occurrence(schedule=name, nominal=int(float(found[i + 1])), job=job, made=int(at)))
    return made


def _stored(server: Server) -> Stored:
    found = server.command("HGETALL", f"{server.place.prefix}:schedules")
    return {
        found[i].decode(): (_schedule(found[i].decode(), found[i + 1]), found[i + 1]) for i in range(0, len(found), 2)
    }


def _schedule(name: str, packed: bytes) -> Schedule:
    owner, revision, paused, next_, last, _, info = _record(packed)
    return msgspec.structs.replace(
        _decode(info),
        name=name,
        owner=_absent(owner),
        revision=revision,
        paused=paused,
        next=_absent(next_),
        last=_absent(last),
    )


def _absent(value: Any) -> Any:
    """Lua has no null that a list may hold; false stands for it."""
    return None if value is False else value


# -- changing ------------------------------------------------------------------------------------


def declare(server: Server, owner: str, wanted: Sequence[Schedule]) -> None:
    """What the code of ``owner`` says, in place of what it said before."""
    names = {schedule.name for schedule in wanted}

    def steps(stored: Stored) -> tuple[list[Step], bool]:
        gone = [one for one, _ in stored.values() if one.owner == owner and one.name not in names]
        changes = [step for one in gone for step in _delete(one)]
        for schedule in wanted:
            changes += _put(msgspec.structs.replace(schedule, owner=owner), stored)
        return changes, True

    _change(server, steps)


def put(server: Server, wanted: Schedule) -> None:
    """Store a schedule by hand, in place of one of this name that was."""
    mine = msgspec.structs.replace(wanted, owner=None)
    _change(server, lambda stored: (_put(mine, stored), True))


def remove(server: Server, name: str) -> bool:
    def steps(stored: Stored) -> tuple[list[Step], bool]:
        if name not in stored:
            return [], False
        schedule, _ = stored[name]
        check_removable(schedule)
        return _delete(schedule), True

    return _change(server, steps)


def pause(server: Server, name: str) -> bool:
    def steps(stored: Stored) -> tuple[list[Step], bool]:
        if name not in stored:
            return [], False
        schedule, _ = stored[name]
        paused = msgspec.structs.replace(schedule, paused=True)
        why = "withdrawn: its schedule was paused"
        return [] if schedule.paused else [_write(paused, why, back=True)], True

    return _change(server, steps)


def resume(server: Server, seen: Schedule, next_: int | None) -> bool:
    def steps(stored: Stored) -> tuple[list[Step], bool]:
        if seen.name not in stored or stored[seen.name][0].revision != seen.revision:
            return [], False
        return [_write(msgspec.structs.replace(stored[seen.name][0], paused=False, next=next_))], True

    return _change(server, steps)


def occur(server: Server, advances: Sequence[Advance]) -> list[int | None]:
    now = server.now()
    steps = [
        (
            one.seen.name,
            one.seen.revision,
            _lua(one.seen.next),
            _lua(one.next),
            _lua(max((nominal for nominal, _ in one.jobs), default=None)),
            [(nominal, job_row(job, now)) for nominal, job in one.jobs],
        )
        for one in advances
    ]
    (stored,) = server.call("occur", steps, repeat=False)
    return [None if n < 0 else n for n in stored]


# -- the steps of a change -----------------------------------------------------------------------


def _change(server: Server, steps: Callable[[Stored], tuple[list[Step], bool]]) -> bool:
    """Read, decide and write, again if somebody else changed something meanwhile; gives what was decided."""
    while True:
        stored = _stored(server)
        changes, answer = steps(stored)
        if not changes:
            return answer
        names = {str(change[1]) for change in changes if len(change) > 1}
        seen = [(name, Blob(stored[name][1]) if name in stored else False) for name in sorted(names)]
        (done,) = server.call("change_schedules", seen, changes, repeat=False)
        if done:
            return answer


def _put(wanted: Schedule, stored: Stored) -> list[Step]:
    if wanted.name not in stored:
        fresh = msgspec.structs.replace(wanted, paused=False, last=None)
        return [_write(fresh), *_rules(wanted.overlap != "allow")]
    before, _ = stored[wanted.name]
    check_owner(before, wanted)
    if definition(before) == definition(wanted):
        return []
    same_rule = before.rule == wanted.rule
    next_ = before.next if same_rule else wanted.next
    changed = msgspec.structs.replace(wanted, paused=before.paused, next=next_, last=before.last)
    step = _write(changed, "withdrawn: its schedule was changed", back=same_rule)
    return [step, *_rules(before.overlap != wanted.overlap)]


def _write(schedule: Schedule, why: str | None = None, *, back: bool = False) -> Step:
    """``why`` the occurrences ahead are withdrawn, if they are; ``back``: and ``next`` goes back to the first."""
    return (
        "put", schedule.name, _lua(schedule.owner), schedule.paused, _lua(schedule.next), _lua(schedule.last),
        schedule.overlap, _encode(definition(schedule)).decode(), _lua(why), back,
    )  # fmt: skip


def _delete(schedule: Schedule) -> list[Step]:
    step = ("delete", schedule.name, "withdrawn: its schedule was removed")
    return [step, *_rules(schedule.overlap != "allow")]


def _rules(changed: bool) -> list[Step]:
    return [("rules",)] if changed else []


def _lua(value: object) -> object:
    return False if value is None else value
