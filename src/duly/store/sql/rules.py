"""Limits and pauses: what may not start now although it is due. Kept in small tables, read when they change."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from duly.job import Limit
from duly.store.sql.db import Db

_limit = msgspec.json.Decoder(Limit).decode
_encode = msgspec.json.Encoder().encode


class Rules:
    """The limits and pauses in force, as read at one version of them."""

    def __init__(
        self, version: int, limits: Sequence[Limit], paused: dict[str, int], exclusive: bool, moving: bool
    ) -> None:
        self.version = version
        self.moving = moving  # to another store: nothing may start here
        self.paused = paused  # queue: since when
        self.limits = {(limit.scope, limit.name): limit for limit in limits}
        self.exclusive = exclusive  # some schedule does not allow its occurrences to overlap

    def lanes(self, task: str, queue: str, limit_key: str | None) -> list[tuple[str, Limit]]:
        """The lanes a job has to pass, and each one's limit."""
        found = []
        if limit := self.limits.get(("task", task)):
            found.append((f"task:{task}", limit))
        if limit := self.limits.get(("queue", queue)):
            found.append((f"queue:{queue}", limit))
        if limit_key is not None and (limit := self.limits.get(("key", task))):
            found.append((f"key:{_quoted(task)}:{limit_key}", limit))
        return found

    def of_lane(self, lane: str) -> Limit | None:
        """The limit that makes a lane, None if it was taken away."""
        scope, _, rest = lane.partition(":")
        if scope == "schedule":
            return ONE_AT_A_TIME if self.exclusive else None
        if scope == "key":
            return self.limits.get(("key", plain(rest.partition(":")[0])))
        return next((rule for key, rule in self.limits.items() if key == (scope, rest)), None)


def _quoted(task: str) -> str:
    """A task's name without colons: task "a" with key "b:c" and task "a:b" with key "c" have a lane each."""
    return task.replace("%", "%25").replace(":", "%3A")


def plain(name: str) -> str:
    """What :func:`_quoted` made, as people wrote it."""
    return name.replace("%3A", ":").replace("%25", "%")


ONE_AT_A_TIME = Limit(scope="key", name="schedule", concurrency=1)
"""What the lane "schedule:NAME" lets pass; made by a job's flags, not by a stored limit."""

NO_RULES = Rules(0, (), {}, exclusive=False, moving=False)


def current(db: Db, known: Rules) -> Rules:
    """``known`` if nothing has changed since it was read, else the rules of now."""
    (version,) = db.run("rules_version").fetchone()
    if version == known.version:
        return known
    rows = db.run("limits")
    limits = {(scope, name): _limit(info) for scope, name, info in rows}  # one set by hand comes later and wins
    paused = dict(db.run("pauses").fetchall())
    exclusive = bool(db.run("any_exclusive").fetchone()[0])
    moving = db.run("moving").fetchone() is not None
    return Rules(version, list(limits.values()), paused, exclusive, moving)


def set_limit(db: Db, limit: Limit) -> None:
    db.run("set_limit", (limit.scope, limit.name, limit.declared, _encode(limit)))
    changed(db)


def unset_limit(db: Db, scope: str, name: str) -> bool:
    gone = db.run("unset_limit", (scope, name)).rowcount
    changed(db)
    return gone > 0


def declare(db: Db, names: Sequence[str], limits: Sequence[Limit]) -> None:
    """What an app's code says of its tasks ``names``, in place of what it said before."""
    before = db.run("declared", (db.array(names),)).fetchall()
    after = [(limit.scope, limit.name, _encode(limit)) for limit in limits]
    if sorted(before) == sorted(after):
        return
    for scope, name, _ in before:
        db.run("undeclare_limit", (scope, name))
    for limit in limits:
        set_limit(db, limit)
    changed(db)


def pause(db: Db, queue: str, now: int) -> None:
    db.run("pause", (queue, now))
    changed(db)


def resume(db: Db, queue: str) -> bool:
    gone = db.run("resume", (queue,)).rowcount
    changed(db)
    return gone > 0


def changed(db: Db) -> None:
    """Everybody reads the rules again, and every lane is looked at afresh."""
    db.run("new_rules")
    db.run("reopen_all")
