"""Reconciling: ``app.sync("calendar", wanted)`` makes the waiting jobs what a calendar says.

``wanted`` maps keys of your own (an event's id) to appointments. However often it is called with whatever the
calendar holds by then, each key has at most one job; the store compares and changes them in one transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from duly.call import CallOptions, check_names, due_of, make_job
from duly.errors import ConfigError
from duly.job import Job
from duly.messages import SYNC_VERDICTS, OnLate, Synced, SyncVerdict
from duly.task import Task

if TYPE_CHECKING:
    from duly.app import Duly

_REFUSED = {
    "countdown": "an appointment has a time of its own; a countdown would move it at each sync",
    "key": "the key is the one it is wanted under",
    "on_conflict": "the key is the one it is wanted under",
    "task_id": "the job's id is kept with its key",
}


class Appointment:
    """A job that is wanted at a time: ``Appointment(attend, ("event-1",), eta=start)``.

    ``eta`` is the instant before which it may not start, an aware datetime or one in the app's time zone. ``options``
    are those of ``apply_async`` but for countdown, key, on_conflict and task_id. An ``expires`` that is a number
    counts from ``eta``, so that it is the same at each sync.
    """

    __slots__ = ("args", "eta", "kwargs", "options", "task")

    def __init__(
        self,
        task: Task[..., Any] | str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        eta: datetime,
        **options: Any,
    ) -> None:
        """Raises TypeError for options that an appointment does not have."""
        for name, reason in _REFUSED.items():
            if name in options:
                raise TypeError(f"an Appointment takes no {name}: {reason}")
        check_names(options)
        self.task = task
        self.args = args
        self.kwargs = kwargs or {}
        self.eta = eta
        self.options = options


class SyncReport(Sequence[Synced]):
    """What became of each key, in the order wanted, then those no longer wanted. ``str()`` counts by verdict."""

    def __init__(self, namespace: str, answers: Sequence[Synced]) -> None:
        self.namespace = namespace
        self._answers = tuple(answers)
        self.counts: Counter[SyncVerdict] = Counter(answer.verdict for answer in answers)

    def __getitem__(self, index: Any) -> Any:
        return self._answers[index]

    def __len__(self) -> int:
        return len(self._answers)

    def __iter__(self) -> Iterator[Synced]:
        return iter(self._answers)

    def of(self, *verdicts: SyncVerdict) -> list[Synced]:
        """The answers with one of these verdicts."""
        return [answer for answer in self._answers if answer.verdict in verdicts]

    @property
    def changed(self) -> bool:
        """Whether anything was stored, changed or cancelled."""
        return bool(self.of("created", "moved", "edited", "cancelled"))

    def __str__(self) -> str:
        counts = [f"{self.counts[verdict]} {verdict}" for verdict in SYNC_VERDICTS if self.counts[verdict]]
        return f"{self.namespace}: {', '.join(counts) or 'nothing wanted, nothing there'}"

    def __repr__(self) -> str:
        return f"<SyncReport {self}>"


def sync(app: Duly, namespace: str, wanted: Mapping[str, Appointment], late: OnLate = "run") -> SyncReport:
    """See ``Duly.sync``."""
    if not isinstance(namespace, str) or not namespace:
        raise TypeError(f'sync({namespace!r}, ...): expected a name for the set of jobs, like "calendar"')
    if late not in get_args(OnLate):
        raise ValueError(f"late={late!r}: expected one of {', '.join(get_args(OnLate))}")
    jobs = [_job(app, key, appointment) for key, appointment in wanted.items()]
    return SyncReport(namespace, app.store.sync(namespace, jobs, late))


def _job(app: Duly, key: str, appointment: Appointment) -> Job:
    if not isinstance(key, str) or not key:
        raise TypeError(f"sync: the key {key!r} is no text, or empty")
    if not isinstance(appointment, Appointment):
        raise TypeError(f"sync: {key!r} is wanted as {appointment!r}; expected an Appointment(task, args, eta=...)")
    task = app.find(appointment.task) if isinstance(appointment.task, str) else appointment.task
    if task.app is not app:
        raise ConfigError(f"sync: {key!r}: task {task.name} belongs to app {task.app.name}, not to {app.name}")
    try:
        return msgspec.structs.replace(_made(app, task, appointment), key=key)
    except (TypeError, ValueError) as exc:
        exc.add_note(f"in the appointment {key!r}")
        raise


def _made(app: Duly, task: Task[..., Any], appointment: Appointment) -> Job:
    """The job as it was at its eta: what counts from the call (``expires`` in seconds) counts from there."""
    options: CallOptions = {**appointment.options, "eta": appointment.eta}  # type: ignore[typeddict-item]
    data = task.codec.encode_args(appointment.args, appointment.kwargs)
    defaults = task.defaults_of(appointment.args, appointment.kwargs, options)
    job = make_job(defaults, data, options, due_of(None, appointment.eta, 0, app.zone), app.zone)
    return task.limited(job, appointment.args, appointment.kwargs)
