"""What people do to jobs: cancel, move, retry, forget, prune; and that their end was told.

What a filter without ids means is found stretch by stretch, and done stretch by stretch: each stretch as a whole,
after the filter was looked at once more, but not all of them at one instant. So no call keeps the server for long.
"""

from __future__ import annotations

from collections.abc import Sequence

from duly.job import Answer, Filter, JobView, State, Verdict
from duly.store.paging import check_states
from duly.store.redis.looking import batches, filter_of, refs_of
from duly.store.redis.server import Server

AT_ONCE = 500  # jobs that one script changes


def act(server: Server, script: str, which: Filter, *change: object) -> list[Answer]:
    """Run cancel, move or retry over what matches; ids that were named come in that order, the unknown ones too."""
    check_states(which)
    if which.ids is not None:
        kind, chosen = "ids", iter(dict.fromkeys(which.ids))
    else:
        kind, chosen = "refs", iter(refs_of(server, which))  # all first: what is changed may change its place
    wanted = filter_of(which)
    answers: list[Answer] = []
    for some in batches(chosen, AT_ONCE):
        (said,) = server.call(script, kind, some, wanted, *change)
        answers += [Answer(id.decode(), _verdict(verdict)) for id, verdict in said]
    return answers


def forget(server: Server, ids: Sequence[str]) -> int:
    return sum(server.call("forget", some)[0] for some in batches(iter(ids), AT_ONCE))


def answered(server: Server, jobs: Sequence[JobView]) -> None:
    for some in batches(iter(jobs), AT_ONCE):
        server.call("answered", [part for job in some for part in (job.id, job.finished)])


def prune(server: Server, before: int, failed_before: int, limit: int) -> int:
    gone = 0
    for state, until in (
        (State.SUCCEEDED, before),
        (State.CANCELLED, before),
        (State.FAILED, failed_before),
        (State.UNCERTAIN, failed_before),
    ):
        gone += _prune(server, state, until, limit - gone)
    server.call("prune_rest", before, failed_before)
    return gone


def _prune(server: Server, state: State, before: int, limit: int) -> int:
    """Those that ended in one state."""
    gone = passed = 0
    while gone < limit:
        look = min(AT_ONCE, limit - gone)
        deleted, kept = server.call("prune", int(state), before, passed, look)
        gone += deleted
        passed += kept
        if deleted + kept < look:
            break
    return gone


def _verdict(said: bytes) -> Verdict:
    return said.decode()  # type: ignore[return-value]
