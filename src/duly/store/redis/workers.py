"""The registry of workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from duly.job import Rescued, State, WorkerInfo
from duly.store.redis.server import Server

_info = msgspec.json.Decoder(WorkerInfo).decode
_encode = msgspec.json.Encoder().encode


class Names:
    """The names of workers by id, "name@host". An id is never given twice, so what was read once is so."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._known: dict[int, str] = {}

    def of(self, ids: Iterable[int]) -> dict[int, str]:
        """Those of these ids that are in the registry; 0 is nobody."""
        wanted = {id for id in ids if id}
        if not wanted <= self._known.keys():
            (found,) = self._server.call("workers")
            self._known = {
                id: f"{info.name}@{info.host}" for id, info in ((id, _info(said)) for id, said, _ in found)
            }
        return self._known

    def forget(self) -> None:
        """Some may be gone."""
        self._known = {}


def register(server: Server, worker: WorkerInfo, lease: int) -> int:
    now = server.now()
    info = msgspec.structs.replace(worker, started=worker.started or now, expires=now + lease)
    (id,) = server.call("register", _encode(info).decode(), lease, repeat=False)
    return int(id)


def workers(server: Server) -> list[WorkerInfo]:
    (found,) = server.call("workers")
    infos = (msgspec.structs.replace(_info(said), id=id, expires=expires) for id, said, expires in found)
    return sorted(infos, key=lambda info: -info.id)


def update(server: Server, worker: int, queues: Sequence[str], slots: int) -> None:
    while True:
        (found,) = server.call("workers")
        said = next((said for id, said, _ in found if id == worker), None)
        if said is None:
            return
        info = msgspec.structs.replace(_info(said), queues=tuple(queues), slots=slots)
        (done,) = server.call("update_worker", worker, said.decode(), _encode(info).decode())
        if done:
            return


def rescue(server: Server, max_lost: int, dead: Sequence[int], lapsed: bool) -> list[Rescued]:
    rescued: list[Rescued] = []
    while True:
        found, more = server.call("rescue", max_lost, dead, 1 if lapsed else 0, repeat=False)
        rescued += rescued_of(found)
        if not found or not (more and lapsed):
            return rescued


def rescued_of(found: list[tuple[bytes, bytes, bytes, int, int]]) -> list[Rescued]:
    return [
        Rescued(id.decode(), task.decode(), queue.decode(), State(state), lost)
        for id, task, queue, state, lost in found
    ]
