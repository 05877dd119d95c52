"""Going on with what follows a job and was not taken in with it: tasks of other workers, and the bodies of chords.

Whoever answers for the end of a job calls :meth:`Onward.after` before the job counts as answered, so after a crash it
is called again. What it calls has an id that is the same each time: our store keeps it once; a Celery worker, which
knows no such thing, may get it twice, as it may from Celery.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from duly.clock import MICROS, to_micros
from duly.gateway import celery_results, wire
from duly.gateway.backends import Answer, Backend, RedisBackend
from duly.gateway.celery_results import PROPAGATED, SUCCESS, Origin, Standing
from duly.gateway.chords import Chords
from duly.gateway.following import Adopted, Here, deterministic, queue_of, with_what_follows
from duly.gateway.outlet import Outlet
from duly.gateway.wire import Embed, Message
from duly.job import Job, JobView
from duly.store import Store
from duly.tagged import untag

log = logging.getLogger("duly.gateway")

Sig = Mapping[str, Any]

_encode = msgspec.json.Encoder().encode
_embed = msgspec.json.Decoder(Embed).decode


class _Next(msgspec.Struct, frozen=True):
    """A signature that is to be called after a job."""

    job: JobView
    origin: Origin  # of the job's message
    sig: Sig
    before: tuple[msgspec.Raw, ...]  # arguments before its own
    path: tuple[object, ...]  # where it stands in what follows the job: its id follows from it
    chain: tuple[Sig, ...] = ()  # what follows it, the last first

    @property
    def options(self) -> dict[str, Any]:
        """Of its call; what follows it is not among them."""
        return {name: value for name, value in (self.sig.get("options") or {}).items() if name != "chain"}

    @property
    def rest(self) -> tuple[Sig, ...]:
        """All that follows it, the last first."""
        return (*((self.sig.get("options") or {}).get("chain") or ()), *self.chain)

    def part(self, sig: Sig, number: int, chain: Sequence[Sig] = ()) -> _Next:
        """A signature in this one, with the same arguments before its own."""
        return msgspec.structs.replace(self, sig=sig, path=(*self.path, number), chain=tuple(chain))


class _Member(msgspec.Struct, frozen=True):
    """A task of a chord that has ended, or will never run."""

    group: str
    task: str
    place: int | None
    body: Sig
    standing: Standing


class Onward:
    """Calls what follows, here if its task is known and its queue served here, else through the broker."""

    def __init__(
        self,
        here: Here,
        store: Store,
        make: Callable[[Message, str, int], Job],
        outlet: Outlet,
        backend: Backend | None,
    ) -> None:
        """``make``: the job of a message, as the gateway makes those that come in."""
        self._here = here
        self._store = store
        self._make = make
        self._outlet = outlet
        self._backend = backend
        self._chords = Chords(backend) if isinstance(backend, RedisBackend) else None

    def after(self, job: JobView, standing: Standing, origin: Origin) -> None:
        """The job has ended so. Raises BackendAway, StoreError and BrokerAway."""
        if origin.sender.embed is msgspec.UNSET:
            return
        embed = _embed(origin.sender.embed)
        if standing.status == SUCCESS:
            for i, sig in enumerate(embed.callbacks or []):
                self._call(_Next(job, origin, sig, (standing.result,), ("link", i)))
            if embed.chain:
                *later, first = embed.chain
                self._call(_Next(job, origin, first, (standing.result,), ("chain",), tuple(later)))
        elif standing.status in PROPAGATED:
            for sig in reversed(embed.chain or []):
                self._fail(sig, job, standing)
            for i, sig in enumerate(embed.errbacks or []):
                self._call(_Next(job, origin, sig, (msgspec.Raw(_encode(job.id)),), ("error", i)))
        if embed.chord is not None and origin.place.group is not None:
            self._count(_Member(origin.place.group, job.id, origin.place.index, embed.chord, standing), job, origin)

    def tend(self) -> None:
        """To be called every few seconds. Raises BrokerAway."""
        self._outlet.tend()

    def close(self) -> None:
        self._outlet.close()

    # -- chords ----------------------------------------------------------------------------------

    def _count(self, member: _Member, job: JobView, origin: Origin) -> None:
        if self._chords is None:
            log.error("job %s is in a chord, which Celery counts on Redis; result_backend names none", job.id)
            return
        group, body = member.group, member.body
        complete = self._chords.part(group, member.task, member.place, member.standing)
        if complete is None:
            return
        if complete.error is None and complete.results is not None:
            self._call(_Next(job, origin, body, (complete.results,), ("chord", group)))
        elif complete.error is not None:
            self._fail(body, job, complete.error)
            id = msgspec.Raw(_encode(_id(body, group, "chord", group)))
            for i, sig in enumerate((body.get("options") or {}).get("link_error") or []):
                self._call(_Next(job, origin, sig, (id,), ("chord", group, i)))
        self._chords.finished(group, member.task)

    def _fail(self, sig: Sig, job: JobView, standing: Standing) -> None:
        """A signature that will never be called, and those that wait for its result."""
        options, kind = sig.get("options") or {}, sig.get("subtask_type")
        if (id := options.get("task_id")) is not None and self._backend is not None:
            meta = celery_results.failure(standing.status, id, standing, job.id)
            self._backend.publish([Answer(id, meta, options.get("reply_to"), id)])
            chord, group = options.get("chord"), options.get("group_id")
            if chord is not None and group is not None:
                origin = celery_results.origin(job)
                self._count(_Member(group, id, options.get("group_index"), chord, standing), job, origin)
        if kind == "chord" and isinstance(body := (sig.get("kwargs") or {}).get("body"), Mapping):
            self._fail(body, job, standing)
        for one in (sig.get("kwargs") or {}).get("tasks") or [] if kind in ("group", "chain") else []:
            self._fail(one, job, standing)
        for one in reversed(options.get("chain") or []):
            self._fail(one, job, standing)

    # -- calling ---------------------------------------------------------------------------------

    def _call(self, what: _Next) -> None:
        sig, kind, rest = what.sig, what.sig.get("subtask_type"), what.rest
        parts = sig.get("kwargs") or {}
        if kind is None:
            self._send(self._message(what), what.options, what.job)
        elif kind == "chain":
            first, *later = parts["tasks"]
            self._call(what.part(first, 0, (*rest, *reversed(later))))
        elif kind == "group" and not rest:
            for i, one in enumerate(parts["tasks"]):
                self._call(what.part(one, i))
        elif kind == "chord":
            self._call_chord(what)
        else:
            log.error(
                "job %s is followed by a %s, which goes on nowhere: duly does not send one on", what.job.id, kind
            )

    def _call_chord(self, what: _Next) -> None:
        parts, rest = what.sig["kwargs"], what.rest
        header = parts["header"]
        members = header["kwargs"]["tasks"] if isinstance(header, Mapping) else header
        body = {**parts["body"], "options": {**(parts["body"].get("options") or {})}}
        if rest:
            body["options"]["chain"] = [*rest, *(body["options"].get("chain") or [])]
        if self._chords is None or any(one.get("subtask_type") is not None for one in members):
            log.error("job %s is followed by a chord that duly cannot send on: %r", what.job.id, what.sig.get("task"))
            return
        group = deterministic(what.job.id, *what.path, "group")
        self._chords.begin(group, len(members))
        for i, one in enumerate(members):
            more = {"chord": body, "group_id": group, "group_index": i}
            self._call(what.part({**one, "options": {**(one.get("options") or {}), **more}}, i))

    def _message(self, what: _Next) -> Message:
        sig, options, origin, job = what.sig, what.options, what.origin, what.job
        args = [*(() if sig.get("immutable") else what.before), *(sig.get("args") or ())]
        embed = Embed(
            callbacks=options.get("link") or None,
            errbacks=options.get("link_error") or None,
            chain=[dict(one) for one in what.rest] or None,
            chord=options.get("chord"),
        )
        now = self._store.now()
        countdown = options.get("countdown")
        due = _instant(options.get("eta"), now) if countdown is None else _instant(countdown, now)
        return Message(
            id=_id(sig, job.id, *what.path),
            task=sig["task"],
            args=_encode([args, sig.get("kwargs") or {}]),
            embed=embed,
            eta=due,
            expires=_instant(options.get("expires"), now),
            root_id=origin.place.root or job.id,
            parent_id=job.id,
            group=options.get("group_id"),
            group_index=options.get("group_index"),
            origin=f"duly@{job.worker}",
            ignore_result=bool(options.get("ignore_result")),
            reply_to=options.get("reply_to") or origin.sender.reply_to,
            priority=options.get("priority"),
            headers=options.get("headers") or {},
        )

    def _send(self, message: Message, options: Mapping[str, Any], job: JobView) -> None:
        app = self._here.app
        queue = queue_of(app, message.task, options, job.queue)
        if app.known(message.task) is not None and queue in self._here.queues:
            adopted: Adopted = with_what_follows(self._here, message, self._make(message, queue, self._store.now()))
            self._store.enqueue(adopted.jobs, adopted.gates)
        else:
            self._outlet.put(queue, wire.encode(message))


def _instant(said: Any, now: int) -> int | None:
    """What a signature says of a time: seconds from now, a datetime as kombu writes it, or text in ISO 8601."""
    value = untag(said)
    if value is None:
        return None
    if isinstance(value, int | float):
        return now + round(value * MICROS)
    return to_micros(datetime.fromisoformat(value) if isinstance(value, str) else value, UTC)


def _id(sig: Sig, *path: object) -> str:
    said = (sig.get("options") or {}).get("task_id")
    return str(said) if said else deterministic(*path)
