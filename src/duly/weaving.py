"""From signatures to the jobs and gates of a canvas: what is stored, whole, when it is called.

    1. ``weave`` of a signature adds *drafts* of jobs to a Loom and gives its *ends*: the jobs that have its result.
    2. What comes next in a chain (or is a chord's body, or linked) *holds* at a gate whose members these ends are.
    3. ``Loom.finish`` makes the drafts into jobs: arguments checked and encoded, options, and each one's Place.

Every element of a group has one end, so that results keep their shape: where it ends in a group itself, a job of
the task ``duly.collect`` gathers that into a list. A canvas of one job and no gate is a plain call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from duly.builtin import COLLECT
from duly.call import check_parts
from duly.group_result import GroupResult
from duly.ids import new_id
from duly.job import Feed, Flag, Gate, Job, Options, Place, Then
from duly.request import current
from duly.result import AsyncResult
from duly.signature import Signature, linked

if TYPE_CHECKING:
    from duly.app import Duly
    from duly.request import Request

FIRST = ("countdown", "eta", "expires")
"""Options of a canvas that are for the jobs it begins with."""

LAST = ("task_id", "link", "link_error")
"""Options of a canvas that are for what it ends with. All others are for each of its jobs."""

_decode_options = msgspec.json.Decoder(Options).decode
_encode = msgspec.json.Encoder().encode


@dataclass
class Given:
    """What a call adds to a signature."""

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def over(self, sig: Signature[Any]) -> Given:
        """This, over what the signature says."""
        options = {**sig.options, **self.options}
        for name in ("link", "link_error"):
            both = [*linked(sig.options.get(name)), *linked(self.options.get(name))]
            if both:
                options[name] = both
        if sig.immutable:
            return Given(sig.args, sig.kwargs, options)
        return Given((*self.args, *sig.args), {**sig.kwargs, **self.kwargs}, options)


@dataclass
class Draft:
    """One job to be."""

    id: str
    task: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    options: dict[str, Any]
    hold: Hold | None
    fed: bool  # what it is held for comes first among its arguments
    gates: list[tuple[str, int]] = field(default_factory=list)
    own_gate: str | None = None  # the gate that it alone is a member of
    wanted: bool = False  # another job needs its result
    place: dict[str, Any] = field(default_factory=dict)


@dataclass
class Hold:
    """A gate to be held at, and what comes of it."""

    gate: str
    kind: Literal["one", "all", "error"]
    ends: list[Draft]


@dataclass
class Ends:
    """The jobs that have the result of a signature: one, or those of a group in order."""

    drafts: list[Draft]
    group: str | None = None  # the group's id, which is its gate's
    before: Ends | None = None  # those of the step before it


class Loom:
    """One canvas while it is worked out."""

    def __init__(self, app: Duly, request: Request | None = None) -> None:
        """``request``: the attempt that calls it."""
        self.app = app
        self.drafts: list[Draft] = []
        self.gates: list[Gate] = []
        self._root = None if request is None else request.root_id
        self._parent = None if request is None else request.id

    # -- what signatures call --------------------------------------------------------------------

    def step(self, sig: Signature[Any], hold: Hold | None, given: Given) -> Ends:
        """One job of a task."""
        whole = given.over(sig)
        options = dict(whole.options)
        links, errbacks = linked(options.pop("link", None)), linked(options.pop("link_error", None))
        fed = hold is not None and not sig.immutable
        id = options.pop("task_id", None) or new_id()
        ends = Ends([self._add(Draft(id, sig.task, whole.args, whole.kwargs, options, hold, fed))])
        self.link(ends, links, errbacks)
        return ends

    def _add(self, draft: Draft) -> Draft:
        self._root = self._root or draft.id
        hold = draft.hold
        parent = hold.ends[-1].id if hold is not None and hold.ends else self._parent
        draft.place = {"root": self._root, "parent": parent}
        if hold is not None and draft.fed and hold.kind != "error":
            for end in hold.ends:
                end.wanted = True
        self.drafts.append(draft)
        return draft

    def group(self, ends: Sequence[Ends], id: str | None) -> Ends:
        """The ends of a group whose elements have these ends."""
        group = id or new_id()
        drafts = [self.single(one) for one in ends]
        for index, draft in enumerate(drafts):
            draft.gates.append((group, index))
            draft.place.update(group=group, index=index)
        self.gates.append(Gate(group, len(drafts)))
        return Ends(drafts, group)

    def single(self, ends: Ends, id: str | None = None) -> Draft:
        """The one job that has the result; of a group, one that gathers it."""
        if ends.group is None:
            return ends.drafts[0]
        return self._add(Draft(id or new_id(), COLLECT, (), {}, {}, self.hold(ends), True))

    def hold(self, ends: Ends) -> Hold:
        """Where to wait for these ends, all of which have to succeed."""
        if ends.group is not None:
            return Hold(ends.group, "all", ends.drafts)
        [draft] = ends.drafts
        if draft.own_gate is None:
            draft.own_gate = self._gate([draft])
        return Hold(draft.own_gate, "one", [draft])

    def _gate(self, drafts: Sequence[Draft]) -> str:
        gate = Gate(new_id(), len(drafts))
        self.gates.append(gate)
        for index, draft in enumerate(drafts):
            draft.gates.append((gate.id, index))
        return gate.id

    def link(self, ends: Ends, links: Sequence[Signature[Any]], errbacks: Sequence[Signature[Any]]) -> None:
        """What follows these ends beside what comes next."""
        if not links and not errbacks:
            return
        hold = self.hold(ends)
        for callback in links:
            callback.weave(self, hold, Given())
        for errback in errbacks:
            first = len(self.drafts)
            errback.weave(self, Hold(hold.gate, "error", hold.ends), Given())
            for draft in self.drafts[first:]:
                if draft.hold is not None and draft.hold.gate == hold.gate:
                    draft.options["_on_failure"] = True

    def chord(self, header: Ends, body: Ends) -> None:
        """Note in a group's jobs what it is followed by."""
        for draft in header.drafts:
            draft.place["chord"] = body.drafts[-1].id if body.group is None else body.group

    # -- what comes of it ------------------------------------------------------------------------

    def finish(self) -> list[Job]:
        """The jobs, each after those that it waits for. Raises what ``Task.delay`` does."""
        sizes = {gate.id: gate.size for gate in self.gates}
        jobs: dict[str, Job] = {}
        for draft in self.drafts:
            if draft.id in jobs:
                raise ValueError(f"task_id={draft.id!r} is given twice in one canvas; each job has an id of its own")
            jobs[draft.id] = self._job(draft, sizes, jobs)
        return list(jobs.values())

    def _job(self, draft: Draft, sizes: Mapping[str, int], jobs: Mapping[str, Job]) -> Job:
        on_failure = draft.options.pop("_on_failure", False)
        options = cast(Any, {**draft.options, "task_id": draft.id})
        feed, fed = None, 0
        if draft.hold is not None and draft.fed:
            feed = Feed(draft.hold.gate, sizes[draft.hold.gate], draft.hold.kind)
            fed = 1 if feed.kind != "error" else self._fed_errback(draft)
        if draft.task == COLLECT and draft.hold is not None and draft.hold.ends:  # where those run that it waits for
            near = jobs[draft.hold.ends[0].id]
            options = {"queue": near.queue, "priority": near.priority, **options}
        job = self.app.make_job(draft.task, draft.args, draft.kwargs, options, fed)
        if not draft.gates and draft.hold is None and self._parent is None and len(self.drafts) == 1:
            return job
        if job.key is not None:
            raise TypeError(
                f"key={job.key!r}: a job of a canvas has no key, for another job would stand in its place; call "
                f"{draft.task} by itself, or give task_id"
            )
        held = options if draft.hold is not None else {}
        place = Place(**draft.place, feed=feed)
        return msgspec.structs.replace(
            job,
            flags=_flags(job, draft, on_failure, _counts_from_release(held, job)),
            options=_placed(job.options, place, fed),
            after=None if draft.hold is None else draft.hold.gate,
            gates=tuple(draft.gates),
        )

    def _fed_errback(self, draft: Draft) -> int:
        """How many arguments an errback gets: (request, exc, traceback), or the id of the job, as it has room."""
        return errback_takes(self.app, draft.task, draft.args, draft.kwargs)

    def result(self, ends: Ends) -> AsyncResult[Any] | GroupResult:
        """What a caller gets; its parent is the result of the step before, and so on."""
        parent = None if ends.before is None else self.result(ends.before)
        made = [self._result_of(draft) for draft in ends.drafts]
        if ends.group is not None:
            return self.app.group_result_type(ends.group, made, self.app, parent)
        made[0].parent = parent
        return made[0]

    def _result_of(self, draft: Draft) -> AsyncResult[Any]:
        task = self.app.tasks.get(draft.task)
        return self.app.result_type(draft.id, self.app) if task is None else task.result_of(draft.id)


def errback_takes(app: Duly, task: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """3 or 1: how many arguments are put before an errback's own."""
    found = app.tasks.get(task)
    return 3 if found is not None and found.codec.room(args, kwargs) > 1 else 1


def call(
    sig: Signature[Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> AsyncResult[Any] | GroupResult:
    """Store the canvas of a signature; gives its result."""
    if sig.app.conf.task_always_eager:
        return run_here(sig, args, kwargs, options)
    loom, ends = woven(sig, args, kwargs, options)
    jobs = loom.finish()
    if len(jobs) == 1 and not loom.gates:
        loom.app.client.enqueue(jobs[0])
    elif jobs:
        loom.app.client.enqueue_canvas(jobs, loom.gates)
    return loom.result(ends)


def run_here(
    sig: Signature[Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> AsyncResult[Any] | GroupResult:
    """Run the canvas of a signature here and now; gives its result."""
    from duly.canvas_eager import run

    options = dict(options)
    throw = options.pop("throw", None)
    loom, ends = woven(sig, args, kwargs, options)
    return run(loom, ends, throw)


def woven(
    sig: Signature[Any], args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[Loom, Ends]:
    check_parts(args, kwargs)
    loom = Loom(sig.app, current.get())
    return loom, sig.weave(loom, None, Given(tuple(args), kwargs, options))


def successors(app: Duly, sig: Signature[Any], request: Request) -> Then:
    """What the job of ``request`` goes on as: the last job of the signature's canvas is that job."""
    loom = Loom(app, request)
    own = {} if sig.kind in ("group", "chunks") else {"task_id": request.id}
    last = loom.single(sig.weave(loom, None, Given((), {}, own)), request.id)
    last.wanted = last.wanted or not request.ignore_result
    last.place.update(parent=request.parent_id, group=request.group, index=request.group_index, chord=request.chord)
    return Then(tuple(_asking(job, request) for job in loom.finish()), tuple(loom.gates))


def _asking(job: Job, request: Request) -> Job:
    """The one that the job goes on as is told of to whom that was to be told of."""
    if job.id != request.id or request.options.sender is None:
        return job
    options = Options() if job.options is None else _decode_options(job.options)
    options = msgspec.structs.replace(options, sender=request.options.sender)
    flags = int(job.flags | request.lease.flags & Flag.ANSWER)
    return msgspec.structs.replace(job, options=_encode(options), flags=flags)


def _flags(job: Job, draft: Draft, on_failure: bool, from_release: bool) -> int:
    flags = job.flags & ~Flag.IGNORE_RESULT if draft.wanted else job.flags
    if on_failure:
        flags |= Flag.ON_FAILURE
    return int(flags | Flag.FROM_RELEASE) if from_release else int(flags)


def _counts_from_release(options: Mapping[str, Any], job: Job) -> bool:
    """Whether a held job's due and expiry are seconds from when it may begin."""
    expires = options.get("expires")
    if options.get("countdown") and isinstance(expires, datetime):
        raise ValueError(
            f"countdown={options['countdown']!r} counts from the end of the step before, expires={expires!r} does "
            "not; give it as seconds too"
        )
    absolute = options.get("eta") is not None or isinstance(expires, datetime)
    return bool(options) and not absolute and (bool(options.get("countdown")) or job.expires is not None)


def _placed(options: bytes | None, place: Place, fed: int) -> bytes:
    """``options`` with ``place``; positions of sensitive arguments become those among what is stored."""
    known = Options() if options is None else _decode_options(options)
    sensitive = tuple(
        one - fed if isinstance(one, int) else one
        for one in known.sensitive
        if not (isinstance(one, int) and one < fed)
    )
    return _encode(msgspec.structs.replace(known, place=place, sensitive=sensitive))
