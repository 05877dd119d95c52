"""The counters of Celery's chords on Redis: a group whose members may end in Celery's workers and in ours.

For a group GID, beside its results (``backends.py``)::

    celery-taskset-meta-GID.j   zset by the member's place: JSON [1, task id, state, result]
    ...GID.d                    set of "task id:place" that are in .j, for a member may run twice
    ...GID.s                    how many there are, set by the client
    ...GID.t                    how many more than that, added by a member that became several
    ...GID.c                    who goes on with the body, for a while; then "done"
    celery-taskset-meta-GID     the group's structure, if its members are groups themselves

Whoever brings the last result claims the body and calls it. That is what Celery 5.7 does; older workers look at .j,
.s and .t alone, and agree with it about who comes last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from duly.gateway.backends import GROUP, BackendAway, RedisBackend
from duly.gateway.celery_results import PROPAGATED, SUCCESS, Standing, chord_error

_CLAIM = 30  # seconds that the claim lasts; it is taken again by who comes after a crash
_DONE = 300  # seconds for which it is remembered that the body was called

_PART = """
local results, seen, size, more, claim, group = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local task, result, place, expires, by, lasts = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], ARGV[6]
if redis.call('GET', claim) == 'done' then return 'done' end
if redis.call('SADD', seen, task .. ':' .. place) == 1 then redis.call('ZADD', results, place, result) end
if expires > 0 then
    for _, name in ipairs({results, seen, size, more, group}) do redis.call('EXPIRE', name, expires) end
end
local wanted = redis.call('GET', size)
if not wanted then return 'unknown' end
if redis.call('ZCARD', results) < tonumber(wanted) + tonumber(redis.call('GET', more) or 0) then return 'more' end
local owner = redis.call('GET', claim)
if owner and owner ~= by then return 'claimed' end
redis.call('SET', claim, by, 'EX', lasts)
return 'ours'
"""

_FINISH = """
if redis.call('GET', KEYS[5]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
redis.call('SET', KEYS[5], 'done', 'EX', ARGV[2])
return 1
"""


class Complete(NamedTuple):
    """All members of a group have ended: the body's first argument, or why there is none."""

    results: msgspec.Raw | None
    error: Standing | None


class Chords:
    """The counters, as a worker needs them."""

    def __init__(self, backend: RedisBackend) -> None:
        self._backend = backend
        self._part = backend.client.register_script(_PART)
        self._finish = backend.client.register_script(_FINISH)

    def begin(self, group: str, size: int) -> None:
        """A group that is about to be called. Raises BackendAway."""
        _, _, sizes, _, claim, _ = _keys(group)
        with self._backend.away():
            self._backend.client.delete(claim)
            self._backend.client.set(sizes, size, ex=self._backend.expires or None)

    def part(self, group: str, task: str, place: int | None, standing: Standing) -> Complete | None:
        """A member has ended; what all of them gave if it was the last, and nobody else goes on. The same member may
        be told again. Raises BackendAway."""
        result = msgspec.json.encode([1, task, standing.status, standing.result])
        at = "+inf" if place is None else str(place)
        with self._backend.away():
            said = self._part(keys=_keys(group), args=[task, result, at, self._backend.expires, task, _CLAIM])
            if said != b"ours":
                return None
            parts = self._backend.client.zrange(_keys(group)[0], 0, -1)
            structure = self._backend.client.get(GROUP + group)
        found = [_part.decode(part) for part in parts]
        for _, member, status, result in found:
            if status in PROPAGATED:
                return Complete(None, chord_error(member, msgspec.json.decode(result)))
        if structure is None:
            return Complete(_list([result for _, _, _, result in found]), None)
        return self._joined(msgspec.json.decode(structure))

    def finished(self, group: str, task: str) -> None:
        """The body was called, or has failed. Raises BackendAway."""
        with self._backend.away():
            self._finish(keys=_keys(group), args=[task, _DONE])

    def _joined(self, kept: Mapping[str, Any]) -> Complete:
        """The results of a group whose members are groups, in its own structure."""
        [_, members] = kept["result"]
        metas = dict(zip(ids := list(_leaves(members)), self._backend.metas(ids), strict=True))
        for id, meta in metas.items():
            if meta is None or meta["status"] in PROPAGATED:
                return Complete(None, chord_error(id, None if meta is None else meta["result"]))
            if meta["status"] != SUCCESS:
                raise BackendAway(f"the result of {id}, a member of a chord, is not there yet")
        return Complete(msgspec.Raw(msgspec.json.encode(_shaped(members, metas))), None)


_part = msgspec.json.Decoder(tuple[int, str, str, msgspec.Raw])


def _keys(group: str) -> list[str]:
    name = GROUP + group
    return [f"{name}.j", f"{name}.d", f"{name}.s", f"{name}.t", f"{name}.c", name]


def _list(values: Sequence[msgspec.Raw]) -> msgspec.Raw:
    return msgspec.Raw(b"[" + b",".join(map(bytes, values)) + b"]")


def _leaves(members: Sequence[Any]) -> list[str]:
    found: list[str] = []
    for (id, _), below in members:
        found += [id] if below is None else _leaves(below)
    return found


def _shaped(members: Sequence[Any], metas: Mapping[str, Any]) -> list[Any]:
    return [metas[id]["result"] if below is None else _shaped(below, metas) for (id, _), below in members]
