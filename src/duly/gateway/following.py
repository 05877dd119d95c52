"""What follows a call of Celery's, and who is to hear of its end: what a gateway stores beside the job of a message.

    1. What follows (its chain, its callbacks and errbacks) is woven with it, as a canvas of our own, if every task of
       it is known to the app and goes to a queue that is served here. Then no step depends on a gateway any more.
    2. Else the job comes alone, and carries what follows: who answers for its end goes on with it (``onward.py``).
    3. The body of a chord is carried always: the members of its group may be anywhere, and are counted where Celery's
       workers count them.

Every id that the client has not chosen follows from the message's, so a message that comes twice makes the same jobs.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from duly.codec import decode_value
from duly.errors import DulyError
from duly.gateway.wire import Embed, Message
from duly.job import Flag, Gate, Job, Options, Place, Sender
from duly.keepsake import INBOX
from duly.remote import RemoteTask
from duly.routing import DESTINATION
from duly.signature import signature
from duly.tagged import untag
from duly.weaving import Given, Loom

if TYPE_CHECKING:
    from duly.app import Duly

Sig = dict[str, Any]

_encode = msgspec.json.Encoder().encode
_decode_options = msgspec.json.Decoder(Options).decode
_KEPT = ("task_id", "queue", "routing_key", "exchange", "priority", "countdown", "eta", "expires", "time_limit",
         "soft_time_limit", "headers", "ignore_result")  # fmt: skip
"""Options of a signature that mean here what they mean there."""


class Adopted(NamedTuple):
    """What is stored for a message, in one call of ``Store.enqueue``."""

    jobs: list[Job]
    gates: list[Gate]


class Here(msgspec.Struct):
    """What a message is taken in by."""

    app: Duly
    queues: Collection[str]  # that are served here; another collection when that changes
    priority: Callable[[int], int]  # duly's, of the broker's, which may be any number
    answers: bool  # results are read somewhere: the end of every job whose result is kept is to be told


def with_what_follows(here: Here, message: Message, first: Job) -> Adopted:
    """``first``, the message's own job, with what follows it."""
    embed = message.embed
    if here.answers and not first.flags & Flag.IGNORE_RESULT:
        first = msgspec.structs.replace(first, flags=int(first.flags | Flag.ANSWER))
    if not (embed.chain or embed.callbacks or embed.errbacks or embed.chord):
        return Adopted([_asks(first, message, [], embed)], [])
    return _woven(here, message, first) or Adopted([_asks(first, message, _children(embed), embed)], [])


def deterministic(*parts: object) -> str:
    """An id that is the same for the same parts."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(map(str, parts))))


_NAMESPACE = uuid.UUID("6f0d9d38-7f0b-4e8e-9a2f-6b1f6a4c1d5e")


# -- who is to hear of it --------------------------------------------------------------------------


def _sender(message: Message) -> Sender:
    other = None if message.correlation_id == message.id else message.correlation_id
    return Sender(reply_to=message.reply_to, correlation_id=other)


def _asks(job: Job, message: Message, children: list[Any], elsewhere: Embed) -> Job:
    """The job with what follows it noted; somebody has to hear of its end if that is elsewhere, or is read."""
    carried = msgspec.UNSET if elsewhere == Embed() else msgspec.Raw(_encode(elsewhere))
    told = msgspec.UNSET if not children else msgspec.Raw(_encode(children))
    if carried is msgspec.UNSET and not job.flags & Flag.ANSWER:
        return job
    options = _options_of(job)
    sender = msgspec.structs.replace(_sender(message), embed=carried, children=told)
    return msgspec.structs.replace(
        job, options=_encode(msgspec.structs.replace(options, sender=sender)), flags=int(job.flags | Flag.ANSWER)
    )


# -- a canvas --------------------------------------------------------------------------------------


def queue_of(app: Duly, task: str, options: Mapping[str, Any], came_from: str) -> str:
    """Where a task goes that follows another: as its call says, or the task, or the routes; else where the one before
    it came from, which is served by whoever runs such tasks. Raises TypeError and ValueError for what is no queue."""
    known, route = app.known(task), app.routing.route(task)
    said: list[Mapping[str, Any]] = [options]
    if known is not None:
        said.append({name: known.options.get(name) for name in DESTINATION})
    if route is not None:
        said.append(route.options)
    queue = next((queue for one in said if (queue := app.routing.destination(one)) is not None), came_from)
    return queue.removesuffix(INBOX) if isinstance(known, RemoteTask) else queue


class _Elsewhere(Exception):
    """A part of what follows is not for this door."""


def _woven(here: Here, message: Message, first: Job) -> Adopted | None:
    """The message with all that follows, as a canvas of ours; None if part of that is elsewhere."""
    parts = _Parts(here, message, first.queue)
    try:
        embed = message.embed
        chain = [parts.taken(sig, "chain", i) for i, sig in enumerate(reversed(embed.chain or []))]
        links = [parts.taken(sig, "link", i) for i, sig in enumerate(embed.callbacks or [])]
        errbacks = [parts.taken(sig, "error", i) for i, sig in enumerate(embed.errbacks or [])]
        loom = Loom(here.app)
        args, kwargs = decode_value(first.args)
        ignored = bool(first.flags & Flag.IGNORE_RESULT)
        own = {"task_id": message.id, "link": links, "link_error": errbacks, "ignore_result": ignored}
        ends = signature(message.task, args, kwargs, own, app=here.app).weave(loom, None, Given())
        for sig in chain:
            before = ends
            ends = sig.weave(loom, loom.hold(before), Given())
            loom.chord(before, ends)
        jobs = loom.finish()
    except (_Elsewhere, DulyError, TypeError, ValueError, LookupError):  # what cannot be right its own worker says
        return None
    if any(job.queue not in here.queues for job in jobs[1:]):
        return None
    found = [parts.told(job, first, message) for job in jobs]
    return Adopted(found, list(loom.gates))


class _Parts:
    """The signatures that follow a message: as ours, and what of them ours have no place for."""

    def __init__(self, here: Here, message: Message, queue: str) -> None:
        self._here = here
        self._queue = queue
        self._message = message
        embed = message.embed
        following = [*(embed.callbacks or []), *(embed.chain or [])[-1:]]
        self._children: dict[str, list[Any]] = {message.id: [result_tuple(sig) for sig in following]}
        self._chords: dict[str, Sig | None] = {message.id: embed.chord}
        self._groups: dict[str, tuple[str | None, int | None]] = {message.id: (message.group, message.group_index)}
        self._previous: list[str] = [message.id]  # whose child the next link of the chain is

    def taken(self, sig: Sig, *path: object) -> Any:
        """A signature of ours, each of whose jobs has an id. Raises _Elsewhere, TypeError and ValueError."""
        made = self._own(sig, path)
        if path[0] == "chain" and path[1]:
            for id in self._previous:
                self._children.setdefault(id, []).append(result_tuple(made))
        if path[0] == "chain":
            self._previous = list(_last_ids(made))
        return signature(made, app=self._here.app)

    def _own(self, sig: Any, path: tuple[object, ...]) -> Sig:
        if not isinstance(sig, Mapping) or not isinstance(sig.get("task"), str):
            raise TypeError(f"{sig!r} is no signature")
        said, kind, parts = dict(sig.get("options") or {}), sig.get("subtask_type"), dict(sig.get("kwargs") or {})
        options = {name: untag(said[name]) for name in _KEPT if said.get(name) is not None}
        if "priority" in options:
            options["priority"] = self._here.priority(options["priority"])
        for name in ("link", "link_error"):
            linked = said.get(name) or []
            options[name] = [self._own(one, (*path, name, i)) for i, one in enumerate(_listed(linked))]
        if kind in ("group", "chain"):
            parts["tasks"] = [self._own(one, (*path, i)) for i, one in enumerate(parts.get("tasks") or [])]
        elif kind == "chord":
            options.pop("task_id", None)  # its group's; ours would be its body's
            parts = {
                "header": self._header(parts.get("header"), path),
                "body": self._own(parts["body"], (*path, "body")),
            }
        elif kind is None:
            parts = untag(parts)
            self._plain(sig["task"], said, options, path)
        else:
            raise _Elsewhere(kind)
        args = tuple(untag(list(sig.get("args") or ())))
        return {"task": sig["task"], "args": args, "kwargs": parts, "options": options, "subtask_type": kind,
                "immutable": bool(sig.get("immutable"))}  # fmt: skip

    def _header(self, header: Any, path: tuple[object, ...]) -> Any:
        if isinstance(header, Mapping):
            return self._own(header, (*path, "header"))
        return [self._own(one, (*path, "header", i)) for i, one in enumerate(header or [])]

    def _plain(self, task: str, said: Mapping[str, Any], options: Sig, path: tuple[object, ...]) -> None:
        if self._here.app.known(task) is None:
            raise _Elsewhere(task)
        id = options.setdefault("task_id", deterministic(self._message.id, *path))
        options["queue"] = queue_of(self._here.app, task, options, self._queue)
        for name in ("routing_key", "exchange"):
            options.pop(name, None)
        self._chords[id] = said.get("chord")
        self._groups[id] = (said.get("group_id"), said.get("group_index"))
        self._children[id] = [result_tuple(one) for one in options["link"]]

    def told(self, job: Job, first: Job, message: Message) -> Job:
        """One of the woven jobs as it is stored: the first as it came, the others with their sender."""
        if job.id == message.id:
            made = _options_of(job).place
            job = msgspec.structs.replace(first, gates=job.gates, flags=job.flags | first.flags & Flag.ANSWER)
            return self._asking(job, made)
        if job.id not in self._chords:  # what gathers the results of a group: nobody knows of it
            return job
        answered = self._here.answers and not job.flags & Flag.IGNORE_RESULT
        job = msgspec.structs.replace(job, flags=int(job.flags | Flag.ANSWER) if answered else job.flags)
        return self._asking(job, _options_of(job).place)

    def _asking(self, job: Job, made: Place | None) -> Job:
        options = _options_of(job)
        group, index = self._groups[job.id]
        place = made or Place()
        place = msgspec.structs.replace(
            place,
            root=self._message.root_id or self._message.id,
            parent=self._message.parent_id if job.id == self._message.id else place.parent,
            group=place.group or group,
            index=index if place.index is None else place.index,
        )
        job = msgspec.structs.replace(job, options=_encode(msgspec.structs.replace(options, place=place)))
        elsewhere = Embed(chord=self._chords[job.id])
        return _asks(job, self._message, self._children[job.id], elsewhere)


def _options_of(job: Job) -> Options:
    return Options() if job.options is None else _decode_options(job.options)


def _listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, Mapping) else list(value or [])


def _last_ids(sig: Sig) -> Iterator[str]:
    """The ids of the jobs that have the result of a signature that is not a group's."""
    kind = sig.get("subtask_type")
    if kind == "chord":
        yield from _last_ids(sig["kwargs"]["body"])
    elif kind == "chain":
        yield from _last_ids(sig["kwargs"]["tasks"][-1])
    elif kind is None and (id := sig["options"].get("task_id")):
        yield id


def _children(embed: Embed) -> list[Any]:
    """The results that follow, as far as their ids are known."""
    return [result_tuple(sig) for sig in (*(embed.callbacks or []), *(embed.chain or [])[-1:])]


def result_tuple(sig: Mapping[str, Any]) -> list[Any]:
    """The result of a signature as Celery writes it: ``[[id, parent], None]``, or a group's parts after its id."""
    options, kind, parts = sig.get("options") or {}, sig.get("subtask_type"), sig.get("kwargs") or {}
    if kind == "group":
        return [[options.get("task_id"), None], [result_tuple(one) for one in parts.get("tasks") or []]]
    if kind == "chord" and isinstance(parts.get("body"), Mapping):
        return result_tuple(parts["body"])
    if kind == "chain" and parts.get("tasks"):
        return result_tuple(parts["tasks"][-1])
    return [[options.get("task_id"), None], None]
