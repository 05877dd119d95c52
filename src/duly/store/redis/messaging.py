"""Messages to workers, the audit trail, limits, time limits, and what explains a waiting job."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from duly.job import COUNT_CAP, Limit
from duly.messages import Action, Control, Lane, Reply, TimeLimit
from duly.store.redis.server import Server

_limit = msgspec.json.Decoder(Limit).decode
_time_limit = msgspec.json.Decoder(TimeLimit).decode
_action = msgspec.json.Decoder(Action).decode
_encode = msgspec.json.Encoder().encode


def controls(server: Server, worker: int) -> list[Control]:
    (found,) = server.call("control", worker)
    return [Control(id, method.decode(), args, expires) for id, method, args, expires in found]


def replies(server: Server, ids: Sequence[int]) -> list[Reply]:
    (found,) = server.call("replies", sorted(set(ids)))
    return [Reply(*one) for one in found]


def record_action(server: Server, action: Action) -> int:
    (id,) = server.call("audit", "record", action.id, action.at, _encode(action).decode(), repeat=action.id > 0)
    return int(id)


def actions(server: Server, before: int | None, limit: int) -> list[Action]:
    (found,) = server.call("audit", "read", False if before is None else before, limit)
    return [msgspec.structs.replace(_action(info), id=id) for id, info in found]


# -- limits --------------------------------------------------------------------------------------


def set_limit(server: Server, limit: Limit) -> None:
    server.call("change_rules", "set", _field(limit), _encode(limit).decode())


def unset_limit(server: Server, scope: str, name: str) -> bool:
    return bool(server.call("change_rules", "unset", f"0:{scope}:{name}")[0])


def declare_limits(server: Server, tasks: Sequence[str], limits: Sequence[Limit]) -> None:
    wanted = [text for limit in limits for text in (_field(limit), _encode(limit).decode())]
    server.call("change_rules", "declare", tasks, wanted)


def limits(server: Server) -> list[Limit]:
    """Those in force: one set by hand stands above a declared one."""
    found = _hash(server, "limits")
    stored = [_limit(found[field]) for field in sorted(found, reverse=True)]
    return list({(limit.scope, limit.name): limit for limit in stored}.values())


def _field(limit: Limit) -> str:
    return f"{int(limit.declared)}:{limit.scope}:{limit.name}"


def paused(server: Server) -> dict[str, int]:
    return {queue.decode(): int(since) for queue, since in sorted(_hash(server, "pauses").items())}


def set_time_limit(server: Server, limit: TimeLimit) -> None:
    name = f"{server.place.prefix}:time-limits"
    if limit.soft is None and limit.hard is None:
        server.command("HDEL", name, limit.task)
    else:
        server.command("HSET", name, limit.task, _encode(limit))


def time_limits(server: Server) -> list[TimeLimit]:
    return [_time_limit(info) for _, info in sorted(_hash(server, "time-limits").items())]


def _hash(server: Server, name: str) -> dict[bytes, bytes]:
    found = server.command("HGETALL", f"{server.place.prefix}:{name}")
    return {found[i]: found[i + 1] for i in range(0, len(found), 2)}


# -- explaining ----------------------------------------------------------------------------------


def lanes_of(server: Server, job: str, now: int) -> list[Lane]:
    (found,) = server.call("job_lanes", job)
    return [_lane(name.decode(), *rest, now=now) for name, *rest in found]


def _lane(
    name: str, rate: int | None, per: int | None, concurrency: int | None, tat: int, running: int, *, now: int
) -> Lane:
    """A rate's next start is at most one interval ahead, whatever a clock that was wrong has written."""
    next_start = 0 if rate is None or per is None else min(tat, now - (-per // rate))
    scope = name.partition(":")[0]
    return Lane(
        name=name, scope=scope, rate=rate, per=per or 0, concurrency=concurrency, next_start=next_start,  # type: ignore[arg-type]
        running=running,
    )  # fmt: skip


def ahead(server: Server, job: str) -> int:
    return int(server.call("ahead", job, COUNT_CAP)[0])
